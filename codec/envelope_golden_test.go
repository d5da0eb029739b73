package codec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

// The golden files were made by another implementation of the format. Lines are comments
// (#), bytes in hex, and the event hash (=).
func golden(t testing.TB, name string) (envelope []byte, hash string) {
	t.Helper()
	return goldenFile(t, filepath.Join("envelopes", name))
}

func goldenFile(t testing.TB, name string) (envelope []byte, hash string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if after, ok := strings.CutPrefix(line, "= "); ok {
			hash = after
		} else if !strings.HasPrefix(line, "#") {
			b, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			envelope = append(envelope, b...)
		}
	}
	return envelope, hash
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// count returns n bytes that count up from first.
func count(first, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(first + i)
	}
	return b
}

type goldenCase struct {
	header causal.Header
	data   []byte
}

func goldenCases() map[string]goldenCase {
	lineage := causal.Lineage(unhex("018f0a0b0c0d4e0f8011121314151617"))
	other := causal.Lineage(unhex("a1a2a3a4a5a64a7a8a9aaaabacadaeaf"))
	id := causal.EventID(unhex("018bcfe56800700080112233445566ff"))
	earlier := causal.EventID(unhex("018bcfe567ff7abc90aabbccddeeff00"))
	prev := causal.Hash(count(0, 32))
	enc := &causal.Enc{Key: causal.KeyID(count(0x40, 16)), Nonce: [24]byte(count(0x60, 24))}
	payload := unhex("82a6616d6f756e74cd04b0a863757272656e6379a3455552") // {amount: 1200, currency: "EUR"}
	minimal := causal.Header{
		Lineage: lineage, ID: id, Seq: 1, Coordinate: causal.Coordinate{Scope: "tenant-a", Entity: "account-1"},
		Version: 1, Kind: 0x1001, Time: causal.HLC{Millis: 1700000000000},
	}
	cases := map[string]goldenCase{"minimal": {minimal, []byte{0xc0}}}

	h := minimal
	h.Seq, h.Lane, h.Version, h.Kind, h.Schema = 1<<40+7, 3, 300, 0xF0AB, 70000
	h.Time = causal.HLC{Millis: 1700000000123, Tick: 65535}
	h.Causes = []causal.Cause{{ID: earlier}, {Lineage: other, ID: earlier}}
	h.Correlation, h.Subject, h.Key = earlier, "person-7", strings.Repeat("k", 40)
	h.Meta = map[string]string{"zürich": "", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	h.Gates, h.Batch, h.Prev, h.Enc = []string{"balance", "limits"}, causal.BatchPos{Index: 1, Count: 200}, prev, enc
	cases["full"] = goldenCase{h, bytes.Repeat(count(0, 100), 3)}

	h = minimal
	h.Seq, h.Version, h.Gates, h.Prev, h.Enc = 2, 2, []string{"balance"}, prev, enc
	cases["sealed"] = goldenCase{h, count(0x80, 40)}

	h = minimal
	h.Seq, h.Entity, h.Batch, h.Gates = 1000, "Zoë/ö 1", causal.BatchPos{Count: 2}, []string{"balance"}
	cases["batch"] = goldenCase{h, payload}

	h = minimal
	h.Seq, h.Version, h.Prev, h.Gates = 9, 5, prev, []string{"!import of 2019"}
	cases["bypass"] = goldenCase{h, payload}
	return cases
}

func TestEnvelopeIsTheGoldenBytesBothWays(t *testing.T) {
	for name, c := range goldenCases() {
		want, hash := golden(t, name)
		if got := codec.AppendEnvelope([]byte("before"), &c.header, c.data); string(got) != "before"+string(want) {
			t.Errorf("%s: encoded\n%x, want\n%x", name, got, want)
		}
		ev, err := codec.DecodeEnvelope(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantEvent := causal.Event{Header: c.header, Hash: ev.Hash, Envelope: want, Data: c.data}
		if !reflect.DeepEqual(ev, wantEvent) {
			t.Errorf("%s: decoded\n%+v, want\n%+v", name, ev, wantEvent)
		}
		if own := sha256.Sum256(append([]byte("batpak.event.v1\x00"), want...)); hex.EncodeToString(own[:]) != hash || ev.Hash.String() != hash {
			t.Errorf("%s: hash %s, by hand %x, want %s", name, ev.Hash, own, hash)
		}
		prefix := codec.AppendPrefix(nil, &c.header)
		if got := codec.EnvelopePrefix(&ev); !bytes.Equal(got, prefix) {
			t.Errorf("%s: prefix %x, want %x", name, got, prefix)
		}
		if got := codec.SealContext(nil, prefix); string(got) != "batpak.seal.v1\x00"+string(prefix) {
			t.Errorf("%s: context %q", name, got)
		}
		rt, err := codec.DecodeRoute(want)
		if err != nil || rt.ID != ev.ID || rt.Seq != ev.Seq || rt.Kind != ev.Kind || string(rt.Scope) != ev.Scope ||
			string(rt.Entity) != ev.Entity || string(rt.Traceparent) != ev.Meta["traceparent"] {
			t.Errorf("%s: route %+v, %v", name, rt, err)
		}
	}
}

func TestDecodingIntoKeepsEventsThatWereCopiedOut(t *testing.T) {
	var ev causal.Event
	var kept []causal.Event
	names := []string{"minimal", "full", "sealed", "batch", "bypass", "full", "minimal"}
	for _, name := range names {
		b, _ := golden(t, name)
		if err := codec.DecodeEnvelopeInto(b, &ev); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, ev)
	}
	for i, name := range names {
		if want := goldenCases()[name].header; !reflect.DeepEqual(kept[i].Header, want) {
			t.Errorf("%d %s: %+v, want %+v", i, name, kept[i].Header, want)
		}
	}
	before := ev
	if err := codec.DecodeEnvelopeInto([]byte{0x80}, &ev); err == nil || !reflect.DeepEqual(ev, before) {
		t.Errorf("after a failure (%v) the event is %+v", err, ev)
	}
}

func TestEnvelopeHotPathDoesNotAllocate(t *testing.T) {
	c, withMeta := goldenCases()["sealed"], goldenCases()["full"]
	full, _ := golden(t, "full")
	sealed, _ := golden(t, "sealed")
	dst := make([]byte, 0, 1024)
	var ev causal.Event
	var l codec.Link
	for name, f := range map[string]func(){
		"encode":           func() { dst = append(codec.AppendData(codec.AppendPrefix(dst[:0], &c.header), len(c.data)), c.data...) },
		"encode with meta": func() { dst = codec.AppendPrefix(dst[:0], &withMeta.header) },
		"route": func() {
			if _, err := codec.DecodeRoute(full); err != nil {
				t.Error(err)
			}
		},
		"check": func() {
			if err := errors.Join(codec.CheckEnvelope(full, &l), codec.CheckEnvelope(sealed, &l)); err != nil {
				t.Error(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	n := testing.AllocsPerRun(100, func() {
		if err := codec.DecodeEnvelopeInto(sealed, &ev); err != nil {
			t.Error(err)
		}
	})
	if n > 1 { // how it is sealed
		t.Errorf("decode again: %v allocations", n)
	}
}
