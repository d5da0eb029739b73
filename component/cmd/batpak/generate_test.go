package main

import (
	"context"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
)

func TestGenerate(t *testing.T) {
	p := plot{events: 1234, size: 100}
	dir := journalDir(t)
	args := []string{"generate", "--events", "1234", "--size", "100", "--dir", dir}
	if out := must(t, "", args...); out != "1234\n" {
		t.Errorf("%q", out)
	}
	if r := batpak(t, "", args...); r.code != exitFailed {
		t.Errorf("over a journal: exit code %d", r.code)
	}
	for _, args := range [][]string{{"--events", "5"}, {"--dir", dir}, {"--events", "5", "--dir", dir, "--size", "20"}} {
		if r := batpak(t, "", append([]string{"generate"}, args...)...); r.code != exitUsage {
			t.Errorf("%q: exit code %d", args, r.code)
		}
	}
	must(t, "", "verify", "--dir", dir)
	err := p.open(context.Background(), dir, func(j *journal.Journal) error {
		f, err := newFold()
		if err != nil {
			return err
		}
		lengths := make(map[causal.Stream]uint64)
		subjects := make(map[string]bool)
		for ev, err := range j.Events(context.Background(), codec.Selection{}) {
			if err == nil {
				err = f.add(&ev)
			}
			if err != nil {
				return err
			}
			lengths[ev.Stream()]++
			subjects[ev.Subject] = true
			var cause causal.Event
			if len(ev.Causes) == 1 {
				cause, err = j.Get(ev.Causes[0].ID)
			}
			if err != nil || len(ev.Data) != p.size || ev.Seq > plotBatch && cause.Seq != ev.Seq-plotBatch {
				t.Fatalf("event %d: %d bytes, cause %d, %v", ev.Seq, len(ev.Data), cause.Seq, err)
			}
		}
		if len(lengths) != 12 || len(subjects) != 124 {
			t.Errorf("%d streams, %d subjects", len(lengths), len(subjects))
		}
		for seq := uint64(1); seq <= 12; seq++ {
			if n := lengths[causal.Stream{Coordinate: p.at(seq)}]; n != p.lengthOf(seq) {
				t.Errorf("stream of event %d has %d events, not %d", seq, n, p.lengthOf(seq))
			}
		}
		return f.check(p)
	})
	if err != nil {
		t.Error(err)
	}
}
