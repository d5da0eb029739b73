package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
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
	c := compare(t, repo, events)
	for i := range events {
		c.ancestors(&events[i])
		for j := range events {
			c.pair(&events[i], &events[j])
		}
	}
	if c.crosswise == 0 {
		t.Error("no pair has more than one best common ancestor")
	}
}

// comparison holds the graph of imported events against what git says.
type comparison struct {
	t         *testing.T
	repo      *gitRepo
	graph     *causal.Graph
	commit    map[causal.EventID]string
	crosswise int // pairs with more than one best common ancestor
}

func compare(t *testing.T, repo *gitRepo, events []causal.Event) *comparison {
	t.Helper()
	c := &comparison{t: t, repo: repo, commit: map[causal.EventID]string{}}
	var vertices []causal.Vertex
	for i := range events {
		vertices = append(vertices, events[i].Vertex())
		c.commit[events[i].ID] = events[i].Key
	}
	var err error
	if c.graph, err = causal.NewGraph(vertices...); err != nil {
		t.Fatal(err)
	}
	if len(c.graph.Missing()) > 0 {
		t.Errorf("missing %v", c.graph.Missing())
	}
	return c
}

func (c *comparison) named(ids []causal.EventID) string {
	var list []string
	for _, id := range ids {
		list = append(list, c.commit[id])
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func sorted(out string) string {
	list := strings.Fields(out)
	slices.Sort(list)
	return strings.Join(list, " ")
}

func (c *comparison) ancestors(ev *causal.Event) {
	c.t.Helper()
	hash := ev.Key
	out := strings.Fields(c.repo.must("", "rev-list", hash))
	if got, want := c.named(c.graph.Ancestors(ev.ID)), sorted(strings.Join(out[1:], " ")); got != want {
		c.t.Errorf("ancestors of %s: %.500s, want %.500s", hash, got, want)
	}
}

func (c *comparison) pair(a, b *causal.Event) {
	c.t.Helper()
	_, err := c.repo.run("", "merge-base", "--is-ancestor", a.Key, b.Key)
	if got := c.graph.HappensBefore(a.ID, b.ID) || a == b; got != (err == nil) { // to git a commit is its own ancestor
		c.t.Errorf("%s before %s: %v", a.Key, b.Key, got)
	}
	out, err := c.repo.run("", "merge-base", "--all", a.Key, b.Key)
	if err != nil {
		out = "" // there is none
	}
	best := c.graph.CommonAncestors(a.ID, b.ID)
	if got, want := c.named(best), sorted(out); got != want {
		c.t.Errorf("best common ancestors of %s and %s: %s, want %s", a.Key, b.Key, got, want)
	}
	if len(best) > 1 {
		c.crosswise++
	}
}

var (
	gitSource  = flag.String("git.repo", "", "compare the graph of this `repository`, instead of one that is made, with git")
	gitCommits = flag.Int("git.commits", 1500, "make a repository of so many commits to compare with git")
)

// development is a history as it comes about when branches live for a while, and are merged, now and then several at
// once, or into each other.
func development(n int) []planned {
	r := rand.New(rand.NewPCG(5, 5))
	commits := []planned{{"main", nil}}
	tips := map[string]int{"main": 1}
	names := []string{"main"}
	for len(commits) < n {
		at := len(commits) + 1
		branch := names[r.IntN(len(names))]
		parents := []int{tips[branch]}
		switch k := r.IntN(20); {
		case k == 0 && len(names) < 12: // a new branch
			branch = fmt.Sprintf("b%d", at)
			names = append(names, branch)
		case k < 5 && len(names) > 1: // a merge
			for range 1 + r.IntN(3)/2 {
				if p := tips[names[r.IntN(len(names))]]; !slices.Contains(parents, p) {
					parents = append(parents, p)
				}
			}
		case k == 5: // from further back
			branch = fmt.Sprintf("b%d", at)
			names = append(names, branch)
			parents = []int{max(1, at-1-r.IntN(50))}
		}
		commits = append(commits, planned{branch, parents})
		tips[branch] = at
		if len(names) > 16 {
			names = slices.Delete(names, 1, 2) // it keeps its name, and ends there
		}
	}
	return commits
}

// What a test cannot hold for every pair of a large repository, it does for some commits at random. Another repository
// is compared with -git.repo.
func TestTheGraphOfALargeRepositoryIsWhatGitSaysItIs(t *testing.T) {
	t.Parallel()
	repo := newGitRepo(t)
	sample := 40
	if *gitSource != "" || *gitCommits > 1500 {
		sample = 200
	}
	if *gitSource != "" {
		repo.dir = *gitSource
	} else {
		repo.make(development(*gitCommits))
	}
	s := serve(t, journalDir(t))
	s.run("", "import", "git", repo.dir, "--to", "git/large")
	events := imported(t, s, causal.Coordinate{Scope: "git", Entity: "large"})
	if want := len(strings.Fields(repo.must("", "rev-list", "--branches", "HEAD"))); len(events) != want {
		t.Fatalf("%d events for %d commits", len(events), want)
	}
	c := compare(t, repo, events)
	r := rand.New(rand.NewPCG(6, uint64(len(events))))
	merges := 0
	for i := range events {
		if len(events[i].Causes) > 1 {
			merges++
		}
	}
	for range sample {
		a := &events[r.IntN(len(events))]
		c.ancestors(a)
		c.pair(a, &events[r.IntN(len(events))])
		// Neighbours are more often concurrent than two at random.
		c.pair(a, &events[max(0, min(int(a.Seq)-1-20+r.IntN(41), len(events)-1))])
	}
	t.Logf("%d commits, %d of them merges; %d compared, %d pairs with more than one best common ancestor", len(events), merges, sample, c.crosswise)
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

func TestASecondRepositoryOfTheSameCommitsGoesToAnotherScope(t *testing.T) {
	t.Parallel()
	repo := newGitRepo(t)
	repo.make(tangle()[:6])
	s := serve(t, journalDir(t))
	s.run("", "import", "git", repo.dir, "--to", "git/one")
	for _, flag := range []string{"--json=false", "--json"} {
		r := s.try("", "import", "git", repo.dir, "--to", "git/two", flag)
		if r.code != exitRefused || r.out != "" {
			t.Errorf("exit code %d, %s", r.code, r.out)
		}
		wantIn(t, r.err, "conflict", "by event 1", "has commit ", "another scope, with --to")
	}
	if got := s.run("", "import", "git", repo.dir, "--to", "two/two"); got != "6\t0\t2\n" {
		t.Errorf("to another scope: %q", got)
	}
}

func TestAShallowCloneIsTold(t *testing.T) {
	t.Parallel()
	repo := newGitRepo(t)
	repo.make(tangle()[:6])
	s := serve(t, journalDir(t))
	clone := filepath.Join(t.TempDir(), "clone")
	repo.must("", "clone", "-q", "--depth", "1", "file://"+repo.dir, clone)
	if r := s.try("", "import", "git", clone, "--to", "git/clone"); r.code != exitDone || !strings.HasPrefix(r.out, "1\t0\t") || !strings.Contains(r.err, "is a shallow clone") {
		t.Errorf("%+v", r)
	}
	if r := s.try("", "import", "git", repo.dir, "--to", "whole/clone"); r.code != exitDone || strings.Contains(r.err, "shallow") {
		t.Errorf("%+v", r)
	}
}
