package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"batpak/causal"
)

// commit is what is imported of one.
type commit struct {
	hash, tree        string
	parents           []string
	author, committer person
	message           string
}

// person is who did something to a commit, and when: seconds since 1970.
type person struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Time  int64  `json:"time"`
}

// repository runs git in a folder.
type repository string

// git returns what a git command prints. What the user has configured for people to read is left out.
func (r repository) git(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", string(r), "-c", "log.showSignature=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1", "LC_ALL=C")
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) && len(failed.Stderr) > 0 {
		said, _, _ := strings.Cut(strings.TrimSpace(string(failed.Stderr)), "\n")
		err = errors.New(strings.TrimPrefix(said, "fatal: "))
	}
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	return out, nil
}

// tips returns the hashes of the branches' last commits: that of HEAD first, then by the branches' names.
func (r repository) tips(ctx context.Context) ([]string, error) {
	out, err := r.git(ctx, "for-each-ref", "--format=%(objectname)", "--sort=refname", "refs/heads", "refs/remotes")
	if err != nil {
		return nil, err
	}
	tips := strings.Fields(string(out))
	if head, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"); err == nil {
		tips = slices.Insert(tips, 0, strings.TrimSpace(string(head)))
	}
	return tips, nil
}

// shallow says whether the history of the repository is cut off.
func (r repository) shallow(ctx context.Context) (bool, error) {
	out, err := r.git(ctx, "rev-parse", "--is-shallow-repository")
	return strings.TrimSpace(string(out)) == "true", err
}

const commitFields = "%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B"

// commits returns the commits that the tips lead to, parents first.
func (r repository) commits(ctx context.Context, tips []string) ([]commit, error) {
	if len(tips) == 0 {
		return nil, nil
	}
	args := []string{"log", "--topo-order", "--reverse", "--no-color", "--no-mailmap", "--encoding=UTF-8", "-z", "--format=" + commitFields, "--branches", "--remotes", tips[0], "--"}
	out, err := r.git(ctx, args...)
	if err != nil {
		return nil, err
	}
	var all []commit
	for len(out) > 0 {
		var f [10]string
		for i := range f {
			var field []byte
			field, out, _ = bytes.Cut(out, []byte{0})
			f[i] = strings.ToValidUTF8(string(field), "\uFFFD")
		}
		c := commit{hash: f[0], tree: f[1], parents: strings.Fields(f[2]), message: f[9],
			author: person{Name: f[3], Email: f[4]}, committer: person{Name: f[6], Email: f[7]}}
		c.author.Time, _ = strconv.ParseInt(f[5], 10, 64) // 0 for one that git cannot read either
		c.committer.Time, _ = strconv.ParseInt(f[8], 10, 64)
		all = append(all, c)
	}
	return all, nil
}

// history is commits, parents first, and what is known of each by its place among them.
type history struct {
	commits []commit
	at      map[string]int // where a commit is, by its hash
	parents [][]int        // those that are among the commits
	ids     []causal.EventID
	lanes   []int64 // -1 while a commit has none
}

func newHistory(commits []commit) *history {
	h := &history{commits: commits, at: make(map[string]int, len(commits)), parents: make([][]int, len(commits)),
		ids: make([]causal.EventID, len(commits)), lanes: make([]int64, len(commits))}
	for i := range commits {
		h.at[commits[i].hash] = i
		h.lanes[i] = -1
		for _, parent := range commits[i].parents {
			if p, ok := h.at[parent]; ok {
				h.parents[i] = append(h.parents[i], p)
			}
		}
	}
	return h
}

// assign gives a lane to every commit that has none: a branch is its last commit, that one's first parent, and so
// on, down to where another branch has been. What was imported before keeps its lane, and a branch that goes on
// from the last commit of a lane goes on in it.
func (h *history) assign(tips []string) {
	next := int64(0)
	last := make(map[int64]int) // the last commit of each lane that there was before
	for i, lane := range h.lanes {
		if lane >= 0 {
			last[lane] = i
			next = max(next, lane+1)
		}
	}
	branch := func(at int) {
		var chain []int
		from := int64(-1)
		for {
			if lane := h.lanes[at]; lane >= 0 {
				if end, ok := last[lane]; ok && end == at {
					from = lane
					delete(last, lane)
				}
				break
			}
			chain = append(chain, at)
			if len(h.parents[at]) == 0 {
				break
			}
			at = h.parents[at][0]
		}
		if len(chain) == 0 {
			return
		}
		if from < 0 {
			from = next
			next++
		}
		for _, c := range chain {
			h.lanes[c] = from
		}
	}
	for _, tip := range tips {
		if at, ok := h.at[tip]; ok && h.lanes[at] < 0 {
			branch(at)
		}
	}
	for at := len(h.commits) - 1; at >= 0; at-- {
		if h.lanes[at] < 0 {
			branch(at)
		}
	}
}
