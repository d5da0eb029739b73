package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/journal"

	"github.com/spf13/cobra"
)

// verifying is what the flags of verify say.
type verifying struct {
	*app
	connection
	keys     wrapping
	dir      string
	receipts string
	since    string
	proving
	from, to uint64
	search   searching
}

func (a *app) verifyCommand() *cobra.Command {
	v := &verifying{app: a}
	cmd := &cobra.Command{
		Use:   "verify [--from SEQ] [--to SEQ] | --receipts FILE | --dir DIR | --since FILE | --receipt FILE --envelope FILE --key PUBLIC",
		Short: "Check hashes and chains of a journal",
		Long: `Have the node read its journal and check each event: canonical bytes, lineage, sequence without gap, and
the hash chain of its stream; and of each commit group that is signed, that the signature is one over its events
by the signer that it names. Whether that is the right signer, a receipt tells (--receipt). With --receipts, check that the journal has the events of receipts, as
they say: JSON, one per line, as append --json printed them; a file, or - for standard input.

With --receipt, --envelope and --key, a receipt's proof is checked without any node: that the holder of the
key has signed that this is the event, as the receipt says. Receipt and envelope are files of JSON, as
append --json and get --json print them, or of the protocol's MessagePack. What signature and hash are over is the
event's own bytes, under the key envelope. Every other key of the event's file has to say what these bytes say, and a
key that neither get --json nor open --json prints is refused; a file may have the envelope alone. The opened payload
of a sealed event is not proved: what is signed is the sealed one.

With --since, check that the journal's history goes on from a head that batpak head --save kept: every event up
to it is the same. The head has to be one of a journal of this name (--journal). The history is read whole, and hashed
here, so that the node's word does not count. What is printed as the hash is the commitment to the history.

With --dir a journal is checked that is not being served, on all cores. As every opening of a journal does, this
finishes first what a crash has interrupted. What opening finds damaged is told as what is wrong, too. When its payload keys are wrapped, --keys-wrap says by
what, as for serve.

What is found is printed: whether the journal is valid, how many events were checked, the last one's
sequence and hash, and the reason when it is not valid: it names the first event that is not what it
should be. To a pipe these are the fields of one line. To a terminal, and with --json, there is also how much
of the log was read, and how many of the events are signed, by whom; and what is not known of a journal that is not
valid, its head or its hash, is left out. The exit code is 4 when it is not valid.`,
		Example: "  batpak verify\n  batpak verify --dir /var/lib/batpak\n  batpak append --json ... | batpak verify --receipts -\n  batpak verify --receipt receipt.json --envelope event.json --key NDPK...",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if v.search.on || v.search.used() {
				return v.residue(cmd.Context())
			}
			if v.to > 0 && v.from > v.to {
				return usage("--from %d is behind --to %d", v.from, v.to)
			}
			if v.receipts != "" && (v.dir != "" || v.from > 0 || v.to > 0) {
				return usage("--receipts goes without --dir, --from and --to")
			}
			if v.proving != (proving{}) {
				if v.receipts != "" || v.since != "" || v.dir != "" || v.from > 0 || v.to > 0 {
					return usage("--receipt goes with --envelope and --key alone")
				}
				return v.prove()
			}
			if v.since != "" && (v.receipts != "" || v.dir != "" || v.from > 0 || v.to > 0) {
				return usage("--since goes alone")
			}
			if v.dir != "" {
				return v.offline(cmd.Context())
			}
			nc, client, err := v.client()
			if err != nil {
				return err
			}
			defer nc.Close()
			if v.since != "" {
				return v.extends(cmd.Context(), client)
			}
			if v.receipts != "" {
				return v.each(cmd.Context(), client)
			}
			return v.online(cmd.Context(), client)
		},
	}
	v.connection.bind(cmd)
	v.keys.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&v.dir, "dir", "", "check the journal in this `directory`, which nobody serves")
	f.StringVar(&v.receipts, "receipts", "", "check the receipts in this `file`")
	f.StringVar(&v.since, "since", "", "check that the history goes on from the head in this `file`")
	f.StringVar(&v.receipt, "receipt", "", "check the proof of the receipt in this `file`, without a node")
	f.StringVar(&v.envelope, "envelope", "", "the event of --receipt, in this `file`")
	f.StringVar(&v.key, "key", "", "the `public` nkey that --receipt has to be signed by")
	f.Uint64Var(&v.from, "from", 0, "first `sequence`; 0 is the first there is")
	f.Uint64Var(&v.to, "to", 0, "last `sequence`; 0 is the last there is")
	v.search.bind(cmd)
	return cmd
}

// A range is checked in parts, so that there is progress to show and no answer is waited for long.
const (
	firstPart = 2000                   // events
	partTime  = 500 * time.Millisecond // what a part should take
	mostPart  = 1 << 20                // events
)

// check checks a range of sequences and returns what was found.
type check func(ctx context.Context, from, to uint64) (codec.VerifyReply, error)

// inParts has a range checked in parts, up to a wrong one.
func (v *verifying) inParts(ctx context.Context, from, to uint64, check check) (codec.VerifyReply, error) {
	total := codec.VerifyReply{Valid: true}
	bar := v.newProgress(int64(to-from+1), "verify", "events")
	defer bar.Finish()
	for size := uint64(firstPart); from <= to; {
		last := min(from+size-1, to)
		began := time.Now()
		part, err := check(ctx, from, last)
		if err != nil {
			return total, err
		}
		total.Checked += part.Checked
		total.Bytes += part.Bytes
		total.Signed += part.Signed
		for _, s := range part.Signers {
			if !slices.Contains(total.Signers, s) && len(total.Signers) < journal.MaxSigners {
				total.Signers = append(total.Signers, s)
			}
		}
		total.Valid, total.Reason, total.Head, total.Hash = part.Valid, part.Reason, part.Head, part.Hash
		if !part.Valid {
			break
		}
		_ = bar.Add64(int64(last - from + 1)) // a terminal that cannot be written to shows nothing
		from = last + 1
		if took := time.Since(began); took < partTime {
			size = min(2*size, mostPart)
		} else if took > 2*partTime {
			size = max(size/2, firstPart)
		}
	}
	return total, nil
}

// online has the node check.
func (v *verifying) online(ctx context.Context, client *component.Client) error {
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	return v.span(ctx, st.Durable, func(ctx context.Context, from, to uint64) (codec.VerifyReply, error) {
		return v.inParts(ctx, from, to, func(ctx context.Context, from, to uint64) (codec.VerifyReply, error) {
			// The node may be busy; what it checks is little.
			ctx, cancel := context.WithTimeout(ctx, max(v.timeout, 30*time.Second))
			defer cancel()
			return client.Verify(ctx, from, to)
		})
	})
}

// span checks what the flags say of a journal that ends at head, and tells.
func (v *verifying) span(ctx context.Context, head uint64, check check) error {
	from, to := max(v.from, 1), head
	if v.to > 0 {
		to = min(v.to, head)
	}
	began := time.Now()
	found := codec.VerifyReply{Valid: true, Head: head}
	if from <= to {
		var err error
		if found, err = check(ctx, from, to); err != nil {
			return err
		}
	}
	if want := max(v.to, from-1); found.Valid && want > head {
		found.Valid, found.Reason = false, fmt.Sprintf("the journal ends with event %d, before event %d", head, want)
	}
	return v.tell(&found, time.Since(began))
}

// offline opens the journal itself.
func (v *verifying) offline(ctx context.Context) error {
	keys, err := v.keys.wrapper(ctx, v.app, askKeys)
	if err != nil {
		return err
	}
	opened, began := false, time.Now()
	err = withJournal(ctx, v.dir, v.onlyName(), keys, func(j *journal.Journal) error {
		opened = true
		return v.span(ctx, j.Visible(), func(ctx context.Context, from, to uint64) (codec.VerifyReply, error) {
			return v.whole(ctx, j, from, to)
		})
	})
	if err != nil && !opened {
		if code, why := explain(err); code == exitDamaged {
			return v.tell(&codec.VerifyReply{Reason: printable(why)}, time.Since(began))
		}
	}
	return err
}

// whole is what a node answers, from a journal that nobody serves.
func (v *verifying) whole(ctx context.Context, j *journal.Journal, from, to uint64) (codec.VerifyReply, error) {
	bar := v.newProgress(int64(to-from+1), "verify", "events")
	defer bar.Finish()
	found, err := j.VerifyWith(ctx, journal.VerifyOptions{From: from, To: to, Progress: func(now journal.Verification) {
		_ = bar.Set64(int64(now.Checked)) // a terminal that cannot be written to shows nothing
	}})
	reply := codec.VerifyReply{Valid: err == nil, Checked: found.Checked, Head: found.Head, Hash: found.Hash,
		Bytes: found.Bytes, Signed: found.Signed, Signers: found.Signers}
	var wrong *journal.VerifyError
	if errors.As(err, &wrong) || errors.Is(err, journal.ErrDamaged) {
		reply.Reason, err = trim(err), nil
	}
	return reply, err
}

// each has the node check receipts.
func (v *verifying) each(ctx context.Context, client *component.Client) error {
	var from io.Reader = v.in
	if v.receipts != "-" {
		f, err := os.Open(v.receipts)
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			return usage("--receipts %s: %w", v.receipts, err)
		}
		defer f.Close()
		from = f
	}
	began := time.Now()
	total := codec.VerifyReply{Valid: true}
	bar := v.newProgress(-1, "verify", "receipts")
	defer bar.Finish()
	lines := bufio.NewScanner(from)
	for number := 1; lines.Scan(); number++ {
		receipt, err := receiptOf(lines.Bytes())
		if err != nil {
			return fmt.Errorf("receipt in line %d: %w", number, err)
		}
		found, err := client.VerifyReceipt(ctx, receipt)
		if err != nil {
			return fmt.Errorf("receipt in line %d: %w", number, err)
		}
		total.Checked += found.Checked
		total.Head, total.Hash = found.Head, found.Hash
		if !found.Valid {
			total.Valid, total.Reason = false, fmt.Sprintf("receipt in line %d: %s", number, found.Reason)
			break
		}
		_ = bar.Add(1)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return v.tell(&total, time.Since(began))
}

// receiptOf reads a receipt. A reply's unknown keys are passed over, so a line's number may be in
// it.
func receiptOf(line []byte) (codec.Receipt, error) {
	var r codec.Receipt
	err := codec.Unmarshal(line, codec.JSON, &r)
	return r, err
}

// tell prints what was found.
func (v *verifying) tell(found *codec.VerifyReply, took time.Duration) error {
	if err := v.show(found, took); err != nil {
		return err
	}
	if !found.Valid {
		return &toldError{exitDamaged}
	}
	return nil
}

// checked says how much was checked, and how fast.
func checked(found *codec.VerifyReply, took time.Duration) string {
	text := fmt.Sprintf("%s in %s, %s events/s", grouped(found.Checked), brief(took), strings.TrimSuffix(rate(found.Checked, took), "/s"))
	if found.Bytes > 0 {
		text += fmt.Sprintf(", %.1f MB/s", float64(found.Bytes)/1e6/max(took, time.Nanosecond).Seconds())
	}
	return text
}

// signed says how many of the events are signed, and by whom.
func signed(found *codec.VerifyReply) string {
	if found.Signed == 0 {
		return "none"
	}
	return printable(fmt.Sprintf("%s of %s by %s", grouped(found.Signed), grouped(found.Checked), strings.Join(found.Signers, ", ")))
}

// notValid is a finding as names and values, without a head and a hash that nobody knows.
func notValid(found *codec.VerifyReply) []any {
	object := []any{"valid", false, "reason", found.Reason, "checked", found.Checked}
	if found.Head > 0 {
		object = append(object, "head", found.Head)
	}
	if !found.Hash.IsZero() {
		object = append(object, "hash", found.Hash)
	}
	if found.Bytes > 0 {
		object = append(object, "bytes", found.Bytes)
	}
	if found.Signed > 0 {
		object = append(object, "signed", found.Signed, "signers", found.Signers)
	}
	return object
}

func (v *verifying) show(found *codec.VerifyReply, took time.Duration) error {
	hash := func(h causal.Hash) string {
		if h.IsZero() {
			return ""
		}
		return h.String()
	}
	word, look := "valid", green
	if !found.Valid {
		word, look = "not valid", red
	}
	switch {
	case v.screen.form == forMachine && !found.Valid:
		return v.screen.object(notValid(found)...)
	case v.screen.form == forMachine:
		return v.screen.body(found)
	case v.screen.form == forPipe:
		return v.screen.table(column{}, column{}, column{}, column{}, column{}).row(word,
			strconv.FormatUint(found.Checked, 10), strconv.FormatUint(found.Head, 10), hash(found.Hash), found.Reason)
	}
	list := []pair{
		{"journal", word, look}, {"checked", checked(found, took), plain},
	}
	if found.Valid || found.Head > 0 {
		list = append(list, pair{"head", grouped(found.Head), plain})
	}
	if found.Valid || !found.Hash.IsZero() {
		list = append(list, pair{"hash", hash(found.Hash), dim})
	}
	if found.Bytes > 0 {
		list = slices.Insert(list, 2, pair{"signed", signed(found), plain})
	}
	if found.Reason != "" {
		list = append(list, pair{"reason", found.Reason, red})
	}
	return v.screen.pairs(list...)
}
