package journal_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

var defective = journal.Options{Name: "defects", SegmentBytes: smallest}

// defectsWorkload appends events, of which two fill a segment. It promises each, and that a journal is
// not poisoned because a segment's name has no room.
func defectsWorkload(fsys faultfs.FS, steps int, ack func(any)) (err error) {
	j, err := journal.Open(context.Background(), fsys, defective)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	for range steps {
		b := one(large("e", 5000))
		r, err := j.Append(context.Background(), b)
		var p *fs.PathError
		switch {
		case err == nil:
			ack(ackedBatch{b, r})
		case errors.Is(err, journal.ErrPoisoned) && errors.Is(err, syscall.ENOSPC) && errors.As(err, &p) && p.Op == "rename":
			return faulttest.Violated("poisoned, and nothing was written: %v", err)
		default:
			return err
		}
	}
	return nil
}

func defectsCheck(fsys faultfs.FS, acked []any, ack func(any)) (err error) {
	defer func() {
		if err != nil && !refusal(err) {
			err = faulttest.Violated("%v", err)
		}
	}()
	j, err := journal.Open(context.Background(), fsys, defective)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	events, err := audit(j)
	if err != nil {
		return err
	}
	var promised []ackedBatch
	for _, p := range acked {
		promised = append(promised, p.(ackedBatch))
	}
	if err := holds(j, events, promised); err != nil {
		return err
	}
	b := one(large("e", 100))
	r, err := j.Append(context.Background(), b)
	if err == nil {
		ack(ackedBatch{b, r})
	}
	return err
}

// Each defect was put back once, found by
//
//	faulttest.Explore(t, defectsTest, defectsOptions)
//
// and left its token. A token holds as long as the same operations are done in the same order. When
// that changes, a subtest says that its operation is not the one there was: put the defect back, explore,
// take the token that is printed and the operation in the story, see the subtest fail, and mend the defect.
var (
	defectsTest    = faulttest.Test{Model: faultfs.POSIX, Steps: 5, Run: defectsWorkload, Check: defectsCheck}
	defectsOptions = faulttest.Options{RecoverKills: 1}
)

func TestDefectsStayMended(t *testing.T) {
	for defect, tc := range map[string]struct {
		token string
		n     int // the operation that fails
		call  string
	}{
		"frames written back as they were misread": {"0x4.1.27.2", 27, "readat segments/0000000000000005.seg 9304+16"},
		"torn tail cut off after one reading":      {"0x2.57.0.1.23.2", 23, "readat segments/0000000000000005.seg 4096+8192"},
		"index believed without a checksum":        {"0x4.1.46.2", 46, "readat segments/0000000000000001.idx 84+36"},
		"poisoned for want of a segment's name":    {"2.44.1", 44, "rename segments/next.tmp -> segments/0000000000000003.seg"},
	} {
		t.Run(defect, func(t *testing.T) {
			same := false
			note := func(in *faultfs.Injector) { // what waits for its turn is noted in any order
				for i, c := range in.Trace() {
					same = same || c.String() == tc.call && max(i+1-tc.n, tc.n-i-1) < 4
				}
			}
			test := defectsTest
			test.Run = func(fsys faultfs.FS, steps int, ack func(any)) error {
				in := faultfs.Inject(fsys)
				defer note(in)
				return defectsWorkload(in, steps, ack)
			}
			test.Check = func(fsys faultfs.FS, acked []any, ack func(any)) error {
				in := faultfs.Inject(fsys)
				defer note(in)
				return defectsCheck(in, acked, ack)
			}
			if err := faulttest.Replay(t, test, defectsOptions, tc.token); err != nil {
				t.Error(err)
			}
			if !same {
				t.Errorf("operation %d is not %q any more: see how a token is made", tc.n, tc.call)
			}
		})
	}
}
