package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/spf13/cobra"
)

func (a *app) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Append what another system has recorded",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(a.importGitCommand())
	return cmd
}

// maxMessage is how much of a commit's message is kept, in bytes.
const maxMessage = 64 << 10

// gitImport appends the commits of a repository.
type gitImport struct {
	*app
	connection
	to, kindText string
	inflight     int

	client *component.Client
	at     causal.Coordinate
	kind   causal.Kind
}

func (a *app) importGitCommand() *cobra.Command {
	m := &gitImport{app: a}
	cmd := &cobra.Command{
		Use:   "git REPOSITORY",
		Short: "Append the commits of a git repository, one event for each",
		Long: `Append the commits of all branches of a git repository, one event for each: its causes are its parents, its
lane is its branch, its key is its hash. A branch is its last commit, that one's first parent, and so on, down to
where another branch has been; lane 0 is that of HEAD.

What was imported before is left out, so that an import goes on where it was interrupted, and takes what is new
later. Payloads have the names and addresses of authors: import into a journal that seals if they may have to be
erased. Of a message that is longer, 64 KiB are kept.

A scope has each commit once. Two repositories that share commits, as a fork and what it was forked from, go into two
scopes: give one of them with --to. Of a shallow clone the commits at the cut have no parents, and keep none when the rest
is imported later; that is told on standard error.

The git command does the reading. To a pipe the fields of the result are: imported, there before, lanes.`,
		Example: "  batpak import git . --to code/batpak\n  batpak graph 42 --direction causes",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = m.withClient(m.run)
	m.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&m.to, "to", "", "append to this `SCOPE/ENTITY`; it is git/NAME otherwise, by the repository's folder")
	f.StringVar(&m.kindText, "kind", "0x1001", "`kind` of the events")
	f.IntVar(&m.inflight, "inflight", 64, "how many appends are under way at a time, at most")
	return cmd
}

func (m *gitImport) run(ctx context.Context, client *component.Client, args []string) error {
	m.client = client
	if err := m.understand(args[0]); err != nil {
		return err
	}
	repo := repository(args[0])
	if err := m.warn(ctx, repo); err != nil {
		return err
	}
	tips, err := repo.tips(ctx)
	if err != nil {
		return err
	}
	commits, err := repo.commits(ctx, tips)
	if err != nil {
		return err
	}
	h := newHistory(commits)
	before, err := m.recall(ctx, h)
	if err != nil {
		return err
	}
	h.assign(tips)
	if err := m.append(ctx, h, len(commits)-before); err != nil {
		return err
	}
	lanes := make(map[int64]bool)
	for _, lane := range h.lanes {
		lanes[lane] = true
	}
	if m.screen.form == forMachine {
		return m.screen.object("imported", len(commits)-before, "before", before, "lanes", len(lanes))
	}
	t := m.screen.table(column{name: "imported", right: true, style: bold}, column{name: "before", right: true}, column{name: "lanes", right: true})
	if err := t.row(strconv.Itoa(len(commits)-before), strconv.Itoa(before), strconv.Itoa(len(lanes))); err != nil {
		return err
	}
	return t.flush()
}

// understand makes sense of the flags.
func (m *gitImport) understand(repo string) (err error) {
	if m.inflight < 1 {
		return usage("--inflight is at least 1")
	}
	if m.kind, err = causal.ParseKind(m.kindText); err != nil {
		return usage("--kind: %w", err)
	}
	if m.to == "" {
		path, err := filepath.Abs(repo)
		if err != nil {
			return err
		}
		m.to = "git/" + filepath.Base(path)
	}
	if m.at, err = coordinate(m.to); err != nil {
		return err
	}
	return nil
}

// recall finds the commits that were imported before, and counts them.
func (m *gitImport) recall(ctx context.Context, h *history) (before int, err error) {
	sel := codec.Selection{Scope: m.at.Scope, Entity: m.at.Entity, Kinds: []causal.Kind{m.kind}, Limit: pageSize}
	for ev, err := range m.client.Read(ctx, sel) {
		if err != nil {
			return before, err
		}
		if at, ok := h.at[ev.Key]; ok && h.ids[at].IsZero() {
			h.ids[at], h.lanes[at] = ev.ID, int64(ev.Lane)
			before++
		}
	}
	return before, nil
}

// append appends the commits that have no event yet, many at a time, and each when its parents have theirs.
func (m *gitImport) append(ctx context.Context, h *history, missing int) error {
	bar := m.newProgress(int64(missing), "import", "commits")
	defer func() { _ = bar.Finish() }()
	waiting := make([]int, len(h.commits)) // parents without an event
	children := make([][]int, len(h.commits))
	var ready []int
	for i, parents := range h.parents {
		if !h.ids[i].IsZero() {
			continue
		}
		for _, p := range parents {
			if h.ids[p].IsZero() {
				waiting[i]++
				children[p] = append(children[p], i)
			}
		}
		if waiting[i] == 0 {
			ready = append(ready, i)
		}
	}
	type done struct {
		at  int
		id  causal.EventID
		err error
	}
	results := make(chan done)
	var failed error
	for under := 0; under > 0 || len(ready) > 0 && failed == nil; {
		for failed == nil && len(ready) > 0 && under < m.inflight {
			at := ready[0]
			ready = ready[1:]
			a, err := m.event(h, at)
			if err != nil {
				failed = err
				break
			}
			under++
			go func() { // ends with its append; this function waits for every one
				id, err := m.one(ctx, a)
				results <- done{at, id, err}
			}()
		}
		if under == 0 {
			break
		}
		d := <-results
		under--
		if d.err != nil {
			if failed == nil {
				failed = fmt.Errorf("commit %s: %w", h.commits[d.at].hash, d.err)
			}
			continue
		}
		h.ids[d.at] = d.id
		_ = bar.Add(1)
		for _, c := range children[d.at] {
			if waiting[c]--; waiting[c] == 0 {
				ready = append(ready, c)
			}
		}
	}
	return failed
}

// one appends an event, again for as long as the node is too busy.
func (m *gitImport) one(ctx context.Context, a codec.Append) (causal.EventID, error) {
	for {
		r, err := m.client.Append(ctx, m.at, a)
		var refusal *component.Error
		if !errors.As(err, &refusal) || refusal.Code != codec.CodeBusy {
			return r.ID, m.advise(a.Key, err)
		}
		select {
		case <-time.After(max(refusal.RetryAfter(), 10*time.Millisecond)):
		case <-ctx.Done():
			return r.ID, ctx.Err()
		}
	}
}

// advise adds to a refusal of a commit that its scope has already what can be done.
func (m *gitImport) advise(commit string, err error) error {
	var refusal *component.Error
	if !errors.As(err, &refusal) || refusal.Code != codec.CodeConflict {
		return err
	}
	told := *refusal
	told.Message += fmt.Sprintf("; the scope %q has commit %s already, of another repository or as another kind: import this one to another scope, with --to",
		m.at.Scope, commit)
	return &told
}

// warn tells what of a repository's history is not there.
func (m *gitImport) warn(ctx context.Context, repo repository) error {
	shallow, err := repo.shallow(ctx)
	if shallow {
		fmt.Fprintf(m.err, "batpak: %s is a shallow clone: its history is cut off, and the commits at the cut keep no parents (git fetch --unshallow gets the rest)\n", repo)
	}
	return err
}

// event is a commit as it is appended.
func (m *gitImport) event(h *history, at int) (codec.Append, error) {
	c := &h.commits[at]
	a := codec.Append{Kind: m.kind, Key: c.hash, Lane: uint32(h.lanes[at])}
	for _, p := range h.parents[at] {
		a.Causes = append(a.Causes, causal.Cause{ID: h.ids[p]})
	}
	message := c.message
	if len(message) > maxMessage {
		end := maxMessage
		for !utf8.RuneStart(message[end]) {
			end--
		}
		message = message[:end]
	}
	text, err := json.Marshal(map[string]any{
		"commit": c.hash, "tree": c.tree, "parents": append([]string{}, c.parents...),
		"author": c.author, "committer": c.committer, "message": message,
	})
	if err == nil {
		a.Data, err = codec.JSONToMsgpack(nil, text)
	}
	if err != nil {
		return a, fmt.Errorf("commit %s: %w", c.hash, err)
	}
	return a, nil
}
