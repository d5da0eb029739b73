package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

// gitRepo is a repository that a test makes.
type gitRepo struct {
	t   *testing.T
	dir string
}

func newGitRepo(t *testing.T) *gitRepo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := &gitRepo{t, t.TempDir()}
	r.must("", "init", "-q", "-b", "main")
	return r
}

func (r *gitRepo) run(stdin string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", r.dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME="+r.dir)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	return string(out), err
}

func (r *gitRepo) must(stdin string, args ...string) string {
	r.t.Helper()
	out, err := r.run(stdin, args...)
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			r.t.Fatalf("git %v: %v: %s", args, err, failed.Stderr)
		}
		r.t.Fatal(err)
	}
	return out
}

// planned is a commit to be made: on a branch, from the commits with these numbers, counted from 1.
type planned struct {
	branch  string
	parents []int
}

// make makes the commits, by git fast-import. Their times go backwards in part, as clocks do.
func (r *gitRepo) make(commits []planned) {
	r.t.Helper()
	var b strings.Builder
	for i, c := range commits {
		message := fmt.Sprintf("commit %d\n\nwith \x01 and ü\n", i+1)
		fmt.Fprintf(&b, "commit refs/heads/%s\nmark :%d\nauthor Ada <ada@example.org> %d +0100\ncommitter Bo <bo@example.org> %d +0000\ndata %d\n%s\n",
			c.branch, i+1, 1_700_000_000+i*60, 1_700_000_000+(i*37%11)*1000, len(message), message)
		for k, p := range c.parents {
			fmt.Fprintf(&b, "%s :%d\n", map[bool]string{true: "from", false: "merge"}[k == 0], p)
		}
		if len(c.parents) == 0 {
			b.WriteString("deleteall\n")
		}
		fmt.Fprintf(&b, "M 644 inline file%d\ndata 2\nx\n\n", i%5)
	}
	r.must(b.String(), "fast-import", "--quiet", "--force")
}

// tangle is a history with merges, octopuses, branches merged crosswise and two roots.
func tangle() []planned {
	commits := []planned{
		{"main", nil},               // 1
		{"main", []int{1}},          // 2
		{"side", []int{1}},          // 3
		{"main", []int{2, 3}},       // 4: with 5, crosswise
		{"side", []int{3, 2}},       // 5
		{"main", []int{4, 5}},       // 6
		{"topic", []int{5}},         // 7
		{"other", []int{4}},         // 8
		{"main", []int{6, 7, 8, 3}}, // 9: an octopus
		{"lone", nil},               // 10: another root
		{"main", []int{9, 10}},      // 11
		{"side", []int{5, 8}},       // 12
		{"topic", []int{7, 12, 9}},  // 13
		{"lone", []int{10}},         // 14
	}
	r := rand.New(rand.NewPCG(4, 4))
	for n := len(commits); n < 26; n++ {
		var parents []int
		for range 1 + r.IntN(4) {
			if p := n - r.IntN(8); !slices.Contains(parents, p) {
				parents = append(parents, p)
			}
		}
		commits = append(commits, planned{fmt.Sprintf("b%d", r.IntN(3)), parents})
	}
	return commits
}

// imported reads what an import has appended.
func imported(t *testing.T, s *served, at causal.Coordinate) []causal.Event {
	t.Helper()
	var events []causal.Event
	for ev, err := range s.client("main").Read(context.Background(), codec.Selection{Scope: at.Scope, Entity: at.Entity}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, ev)
	}
	return events
}

// For every pair of commits, the graph of the imported events says what git says of the commits.
func TestTheGraphOfARepositoryIsWhatGitSaysItIs(t *testing.T) {
	t.Parallel()
	repo := newGitRepo(t)
	plan := tangle()
	repo.make(plan)
	for b := range 3 { // some commits of the plan may have lost their branch
		repo.must("", "branch", "-f", fmt.Sprintf("keep%d", b), fmt.Sprintf("b%d", b))
	}
	s := serve(t, journalDir(t))
	s.run("", "import", "git", repo.dir, "--to", "git/tangle")
	events := imported(t, s, causal.Coordinate{Scope: "git", Entity: "tangle"})
	hashes := strings.Fields(repo.must("", "rev-list", "--branches", "HEAD"))
	if len(events) != len(hashes) || len(events) < 20 {
		t.Fatalf("%d events for %d commits", len(events), len(hashes))
	}
	var vertices []causal.Vertex
	commit := map[causal.EventID]string{}
	for i := range events {
		vertices = append(vertices, events[i].Vertex())
		commit[events[i].ID] = events[i].Key
	}
	g, err := causal.NewGraph(vertices...)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Missing()) > 0 {
		t.Errorf("missing %v", g.Missing())
	}
	named := func(ids []causal.EventID) string {
		var list []string
		for _, id := range ids {
			list = append(list, commit[id])
		}
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	lines := func(out string) string {
		list := strings.Fields(out)
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	crosswise := 0
	for i := range events {
		a := events[i].ID
		out := strings.Fields(repo.must("", "rev-list", commit[a]))
		if got, want := named(g.Ancestors(a)), lines(strings.Join(out[1:], " ")); got != want {
			t.Errorf("ancestors of %s: %s, want %s", commit[a], got, want)
		}
		for j := range events {
			b := events[j].ID
			_, err := repo.run("", "merge-base", "--is-ancestor", commit[a], commit[b])
			if got := g.HappensBefore(a, b) || a == b; got != (err == nil) { // to git a commit is its own ancestor
				t.Errorf("%s before %s: %v", commit[a], commit[b], got)
			}
			out, err := repo.run("", "merge-base", "--all", commit[a], commit[b])
			if err != nil {
				out = "" // there is none
			}
			best := g.CommonAncestors(a, b)
			if got, want := named(best), lines(out); got != want {
				t.Errorf("best common ancestors of %s and %s: %s, want %s", commit[a], commit[b], got, want)
			}
			if len(best) > 1 {
				crosswise++
			}
		}
	}
	if crosswise == 0 {
		t.Error("no pair has more than one best common ancestor")
	}
}

func TestAnImportGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	repo := newGitRepo(t)
	plan := tangle()
	repo.make(plan[:6])
	s := serve(t, journalDir(t))
	at := causal.Coordinate{Scope: "git", Entity: "repo"}
	run := func() string { return s.run("", "import", "git", repo.dir, "--to", at.String()) }
	if got := run(); got != "6\t0\t2\n" {
		t.Errorf("first %q", got)
	}
	if got := run(); got != "0\t6\t2\n" {
		t.Errorf("again %q", got)
	}
	repo.make(plan[:14]) // the same commits, and more
	if got := fields(run()); got[0] != "8" || got[1] != "6" {
		t.Errorf("more %q", got)
	}
	events := imported(t, s, at)
	head := strings.TrimSpace(repo.must("", "rev-parse", "main"))
	lanes := map[string]uint32{}
	causes := map[string]int{}
	for i := range events {
		ev := &events[i]
		lanes[ev.Key], causes[ev.Key] = ev.Lane, len(ev.Causes)
	}
	if len(lanes) != 14 {
		t.Errorf("%d commits", len(lanes))
	}
	for _, hash := range strings.Fields(repo.must("", "rev-list", "--first-parent", "main")) {
		if lanes[hash] != 0 {
			t.Errorf("commit %s of the main branch is in lane %d", hash, lanes[hash])
		}
	}
	side := lanes[strings.TrimSpace(repo.must("", "rev-parse", "side"))]
	if side == 0 || side != lanes[strings.TrimSpace(repo.must("", "rev-parse", "side~2"))] {
		t.Errorf("the branch that went on is in lane %d", side)
	}
	if causes[head] != 2 {
		t.Errorf("%d causes", causes[head])
	}
	var e struct {
		Data struct {
			Commit, Message string
			Parents         []string
			Author          struct {
				Name, Email string
				Time        int64
			}
		}
	}
	if err := json.Unmarshal([]byte(s.run("", "get", events[5].ID.String(), "--json")), &e); err != nil {
		t.Fatal(err)
	}
	if d := e.Data; d.Commit != events[5].Key || !strings.Contains(d.Message, "\n\nwith \x01 and ü\n") || d.Author.Name != "Ada" || d.Author.Time < 1_700_000_000 {
		t.Errorf("%+v", d)
	}
	if got := s.run("", "verify"); !strings.HasPrefix(got, "valid\t14\t") {
		t.Errorf("verify: %q", got)
	}
}

func TestAnEmptyRepositoryAndNone(t *testing.T) {
	t.Parallel()
	repo := newGitRepo(t)
	s := serve(t, journalDir(t))
	if got := s.run("", "import", "git", repo.dir, "--to", "git/empty", "--json"); got != `{"imported":0,"before":0,"lanes":0}`+"\n" {
		t.Errorf("%q", got)
	}
	r := s.try("", "import", "git", t.TempDir())
	if r.code != exitFailed || r.out != "" {
		t.Errorf("%+v", r)
	}
	wantIn(t, r.err, "not a git repository")
	for _, args := range []string{"import git", "import git . --to x", "import git . --inflight 0", "import git . --kind x", "import what"} {
		if r := s.try("", strings.Fields(args)...); r.code != exitUsage {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
