package codec_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

func FuzzDecodeEnvelope(f *testing.F) {
	for name := range goldenCases() {
		b, _ := golden(f, name)
		f.Add(b)
	}
	f.Add(join(whole()))
	f.Fuzz(func(t *testing.T, b []byte) {
		codec.DecodeRoute(b) // must stay inside the bytes
		var ev causal.Event
		var err error
		if n := allocated(func() { ev, err = codec.DecodeEnvelope(b) }); n > uint64(64<<10+20*len(b)) {
			t.Errorf("%x: %d bytes allocated for %d", b, n, len(b))
		}
		var l codec.Link
		checked := codec.CheckEnvelope(b, &l)
		if err != nil {
			if !errors.Is(err, codec.ErrMalformed) || checked == nil || checked.Error() != err.Error() || !reflect.DeepEqual(l, codec.Link{}) {
				t.Errorf("%x: decoded %v, checked %v", b, err, checked)
			}
			return
		}
		want := codec.Link{Lineage: ev.Lineage, Seq: ev.Seq, Scope: []byte(ev.Scope), Entity: []byte(ev.Entity), Lane: ev.Lane,
			Version: ev.Version, Prev: ev.Prev, Hash: ev.Hash}
		if checked != nil || !reflect.DeepEqual(l, want) {
			t.Errorf("%x: link %+v, %v", b, l, checked)
		}
		if again := codec.AppendEnvelope(nil, &ev.Header, ev.Data); !bytes.Equal(again, b) {
			t.Errorf("%x encodes again as %x", b, again)
		}
		if prefix := codec.EnvelopePrefix(&ev); !bytes.Equal(prefix, codec.AppendPrefix(nil, &ev.Header)) {
			t.Errorf("%x has the prefix %x", b, prefix)
		}
		rt, err := codec.DecodeRoute(b)
		if err != nil || rt.ID != ev.ID || rt.Seq != ev.Seq || rt.Kind != ev.Kind || string(rt.Scope) != ev.Scope || string(rt.Entity) != ev.Entity || string(rt.Traceparent) != ev.Meta["traceparent"] {
			t.Errorf("%x: route %+v, %v", b, rt, err)
		}
		if text, err := codec.EnvelopeJSON(nil, b); err != nil {
			t.Errorf("%x: %s, %v", b, text, err)
		}
	})
}

// unmarshals says whether bytes are a body in a format. Reading them takes little memory, and fails with a typed error.
func unmarshals(t *testing.T, b []byte, name string, format codec.Format, in codec.Body) bool {
	t.Helper()
	var err error
	if n := allocated(func() { err = codec.Unmarshal(b, format, in) }); n > uint64(64<<10+100*len(b)) {
		t.Errorf("%s %x: %d bytes allocated for %d", name, b, n, len(b))
	}
	if err != nil && !errors.Is(err, codec.ErrMalformed) && !errors.Is(err, codec.ErrTooLarge) {
		t.Errorf("%s %x: %v", name, b, err)
	}
	return err == nil
}

func FuzzUnmarshalAppend(f *testing.F) {
	for _, a := range []codec.Append{anAppend, {Kind: 1, Data: []byte{0xc0}}, {Scope: "s", Entity: "e", Kind: 2, Data: []byte("\x81\xa1a\xc4\x01b")}} {
		for _, format := range formats {
			b, err := codec.Marshal(nil, format, &a)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, format := range formats {
			var in codec.Append
			if !unmarshals(t, b, name, format, &in) {
				continue
			}
			// What was read is written and read again in both formats, to the same. In JSON the
			// payload is a view only.
			for to, format := range formats {
				again := in
				if format == codec.JSON {
					again.Data = []byte{0xc0}
				}
				text, err := codec.Marshal(nil, format, &again)
				if err != nil {
					t.Errorf("%s %x: to %s: %v", name, b, to, err)
					continue
				}
				var out codec.Append
				if err := codec.Unmarshal(text, format, &out); err != nil || !same(&again, &out) {
					t.Errorf("%s %x: through %s: %v\n in %+v\nout %+v", name, b, to, err, again, out)
				}
			}
		}
	})
}

func FuzzUnmarshalErasure(f *testing.F) {
	for _, e := range []codec.Body{
		&codec.Erasure{Subject: "p", Reason: "r", Actor: "a", Keys: []causal.KeyID{{1}, {2}}, Events: 3},
		&codec.Erasure{Entity: &causal.Coordinate{Scope: "s", Entity: "e"}, Reason: "r"},
		&codec.Renewal{Kind: ptr(causal.Kind(0x1001)), Key: causal.KeyID{1}},
		&codec.Renewal{Category: ptr(uint8(1)), Key: causal.KeyID{1}},
	} {
		b, err := codec.Marshal(nil, codec.Msgpack, e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, into := range []func() codec.Body{
			func() codec.Body { return new(codec.Erasure) }, func() codec.Body { return new(codec.Renewal) },
		} {
			in, again := into(), into()
			var err error
			if n := allocated(func() { err = codec.Unmarshal(b, codec.Msgpack, in) }); n > uint64(64<<10+20*len(b)) {
				t.Errorf("%x: %d bytes allocated for %d", b, n, len(b))
			}
			if err != nil {
				if !errors.Is(err, codec.ErrMalformed) {
					t.Errorf("%x: %v", b, err)
				}
				continue
			}
			out, err := codec.Marshal(nil, codec.Msgpack, in)
			if err != nil {
				t.Fatalf("%x: %v", b, err)
			}
			if err := codec.Unmarshal(out, codec.Msgpack, again); err != nil || !reflect.DeepEqual(in, again) {
				t.Errorf("%x: %v\n in %+v\nout %+v", b, err, in, again)
			}
		}
	})
}

// same compares two appends by what they mean: an empty list is none.
func same(a, b *codec.Append) bool {
	x, y := *a, *b
	for _, e := range []*codec.Append{&x, &y} {
		if len(e.Causes) == 0 {
			e.Causes = nil
		}
		if len(e.Meta) == 0 {
			e.Meta = nil
		}
		if e.Unless != nil && len(e.Unless.Kinds) == 0 {
			s := *e.Unless
			s.Kinds = nil
			e.Unless = &s
		}
	}
	return reflect.DeepEqual(x, y)
}
