package relay

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestAcknowledgementsAreReadAlikeFastAndSlow(t *testing.T) {
	a := ackReader{stream: "S"}
	for _, tc := range []struct {
		in   string
		want uint64
	}{
		{`{"stream":"S","seq":1}`, 1},
		{`{"stream":"S","seq":2}`, 2},
		{`{"stream":"S", "seq":3}`, 3},
		{`{"stream":"S", "seq":4, "duplicate":true}`, 4},
		{`{"stream":"S","domain":"hub","seq":5}`, 5},
		{`{"stream":"S","domain":"hub","seq":18446744073709551615}`, 1<<64 - 1},
		{`{"stream":"S","domain":"hub","seq":18446744073709551616}`, 0},
		{`{"stream":"S","domain":"hub","seq":}`, 0},
		{`{"stream":"S","domain":"hub","seq":07}`, 0},
		{`{"stream":"S","domain":"hub","seq":0}`, 0},
		{`{"stream":"S","domain":"hub","seq":1e1}`, 0},
		{`{"stream":"T","seq":6}`, 0},
		{`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"},"stream":"S","seq":0}`, 0},
		{`+OK`, 0},
		{``, 0},
	} {
		seq, err := a.read([]byte(tc.in))
		if seq != tc.want || (err == nil) != (tc.want > 0) {
			t.Errorf("%s: %d, %v", tc.in, seq, err)
		}
	}
	var refused *refusedError
	if _, err := a.read([]byte(`{"error":{"code":400,"err_code":10071}}`)); !errors.As(err, &refused) || refused.code != 10071 {
		t.Errorf("refusal: %v", err)
	}
}

func TestReadingAcknowledgementsAllocatesNothing(t *testing.T) {
	a := ackReader{stream: "S"}
	b := []byte(`{"stream":"S","seq":1234567}`)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := a.read(b); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever came before, a reply is read as its JSON says or refused.
func FuzzAcknowledgement(f *testing.F) {
	f.Add([]byte(`{"stream":"S","seq":12}`), []byte(`{"stream":"S","seq":13}`))
	f.Add([]byte(`{"stream":"S","x":"seq","seq":12}`), []byte(`{"stream":"S","x":"seq","seq":1}`))
	f.Add([]byte(`{"seq":1,"stream":"S","seq":1}`), []byte(`{"error":{"code":1},"stream":"S","seq":0}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a := ackReader{stream: "S"}
		_, _ = a.read(first)
		seq, err := a.read(second)
		var want struct {
			Stream string
			Seq    uint64
			Error  *json.RawMessage
		}
		jsonErr := json.Unmarshal(second, &want)
		if err == nil && (jsonErr != nil || want.Seq != seq || want.Stream != "S") {
			t.Errorf("%q after %q: %d, JSON says %+v, %v", second, first, seq, want, jsonErr)
		}
	})
}
