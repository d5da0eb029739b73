package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

// entry is a key and the bytes of its value.
type entry struct{ key, value string }

func join(entries []entry) []byte {
	b := []byte{0xde, 0, byte(len(entries))}
	if len(entries) <= 15 {
		b = []byte{0x80 | byte(len(entries))}
	}
	for _, e := range entries {
		b = append(append(b, 0xa0|byte(len(e.key))), e.key...)
		b = append(b, e.value...)
	}
	return b
}

const (
	bin16 = "\xc4\x10aaaaaaaaaaaaaaaa"
	bin24 = "\xc4\x18aaaaaaaaaaaaaaaaaaaaaaaa"
	bin32 = "\xc4\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	encOK = "\x83\xa3alg\xa5xc20p\xa3key" + bin16 + "\xa5nonce" + bin24
)

// whole has every key, all of them good.
func whole() []entry {
	return []entry{
		{"v", "\x01"}, {"lineage", bin16}, {"id", bin16}, {"seq", "\x07"}, {"scope", "\xa1s"}, {"entity", "\xa1e"},
		{"lane", "\x01"}, {"version", "\x02"}, {"kind", "\xcd\x10\x01"}, {"schema", "\x01"}, {"time", "\x05"}, {"tick", "\x01"},
		{"causes", "\x91" + bin16}, {"corr", bin16}, {"subject", "\xa1p"}, {"key", "\xa1k"}, {"meta", "\x82\xa1a\xa1b\xa1c\xa1d"},
		{"gates", "\x91\xa1g"}, {"batch", "\x92\x00\x02"}, {"prev", bin32}, {"enc", encOK}, {"data", "\xc4\x10bbbbbbbbbbbbbbbb"},
	}
}

// change returns whole with one value replaced; no value removes the key.
func change(key, value string) []entry {
	entries := whole()
	i := slices.IndexFunc(entries, func(e entry) bool { return e.key == key })
	if value == "" {
		return slices.Delete(entries, i, i+1)
	}
	entries[i].value = value
	return entries
}

func TestEnvelopeInAnyOtherFormIsRefused(t *testing.T) {
	if _, err := codec.DecodeEnvelope(join(whole())); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	long := "\xda\x01\x01" + strings.Repeat("x", 257)
	values := map[string][]string{
		"v":       {"\x02", "\x00", "\xcc\x01", "\xa11", "\xc0", "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", "\xd0\x01"},
		"lineage": {"\xc4\x0faaaaaaaaaaaaaaa", "\xc4\x11aaaaaaaaaaaaaaaaa", "\xb0aaaaaaaaaaaaaaaa", "\xc5\x00\x10aaaaaaaaaaaaaaaa", "\xc4\x10" + strings.Repeat("\x00", 16)},
		"id":      {"\xc4\x00", "\xc4\x10" + strings.Repeat("\x00", 16), bin32},
		"seq":     {"\x00", "\xff", "\xd3\x00\x00\x00\x00\x00\x00\x00\x07", "\xce\x00\x00\x00\x07", "\xcf\x00\x00\x00\x00\x00\x00\x00\x07"},
		"scope":   {"\xa0", "\xa1\x1f", "\xa1\xff", "\xa2\xc2\x85", "\xd9\x01s", "\xda\x00\x01s", "\xdb\x00\x00\x00\x01s", long, "\xc4\x01s"},
		"entity":  {"\xa0", "\xa1\x7f", "\xa1\xc3", long},
		"lane":    {"\x00", "\xcf\x00\x00\x00\x01\x00\x00\x00\x00", "\xcc\x01", "\xff"},
		"version": {"\x00", "\x01", "\xcc\x02"},
		"kind":    {"\xce\x00\x01\x00\x00", "\xce\x00\x00\x10\x01", "\xff"},
		"schema":  {"\x00", "\xcc\x01"},
		"time":    {"\xcc\x05", "\xff", "\xca\x00\x00\x00\x00"},
		"tick":    {"\x00", "\xce\x00\x01\x00\x00"},
		"causes":  {"\x90", "\xdc\x00\x01" + bin16, "\x91" + bin24, "\x91\xc4\x00", "\x91\xc4\x20" + strings.Repeat("\x00", 16) + "aaaaaaaaaaaaaaaa", "\x91\xc4\x10" + strings.Repeat("\x00", 16), "\xdd\xff\xff\xff\xff", "\x9f" + bin16},
		"corr":    {"\xc4\x10" + strings.Repeat("\x00", 16), bin32},
		"subject": {"\xa0", long, "\xa1\xff"},
		"key":     {"\xa0", long},
		"meta":    {"\x80", "\x82\xa1c\xa1d\xa1a\xa1b", "\x82\xa1a\xa1d\xa1a\xa1b", "\xde\x00\x01\xa1a\xa1b", "\x81\xa1a\x01", "\x81\x01\xa1a", "\x81\xa1a\xa1\xff", "\xdf\xff\xff\xff\xff"},
		"gates":   {"\x90", "\x91\xa0", "\xdc\x00\x01\xa1g", "\x91" + long, "\x91\x01", "\xdd\xff\xff\xff\xff"},
		"batch":   {"\x92\x00\x01", "\x92\x02\x02", "\x91\x00", "\x93\x00\x02\x00", "\x92\xcc\x00\x02", "\x92\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00"},
		"prev":    {"\xc4\x20" + strings.Repeat("\x00", 32), bin16},
		"enc": {
			"\x80", "\x83\xa3alg\xa5xc20q\xa3key" + bin16 + "\xa5nonce" + bin24, "\x83\xa3key" + bin16 + "\xa3alg\xa5xc20p\xa5nonce" + bin24,
			"\x82\xa3alg\xa5xc20p\xa3key" + bin16, "\x83\xa3alg\xa5xc20p\xa3key" + bin32 + "\xa5nonce" + bin24, "\x83\xa3alg\xa5xc20p\xa3key" + bin16 + "\xa5nonce" + bin16,
			"\x84\xa3alg\xa5xc20p\xa3key" + bin16 + "\xa5nonce" + bin24 + "\xa1x\xc0", "\xde\x00\x03" + encOK[1:], "\x83\xa3alg\xd9\x05xc20p\xa3key" + bin16 + "\xa5nonce" + bin24,
		},
		"data": {"\xc4\x0fbbbbbbbbbbbbbbb", "\xc5\x00\x10bbbbbbbbbbbbbbbb", "\xb0bbbbbbbbbbbbbbbb", "\xc4\x11bbbbbbbbbbbbbbbb"},
	}
	bad := make(map[string][]byte)
	for key, list := range values {
		for _, v := range list {
			bad[key+" is "+v] = join(change(key, v))
		}
	}
	for _, key := range []string{"v", "lineage", "id", "seq", "scope", "entity", "version", "kind", "time", "prev", "data"} {
		bad["no "+key] = join(change(key, ""))
	}
	for i, e := range whole() {
		bad["twice "+e.key] = join(slices.Insert(whole(), i, e))
		swapped := whole()
		j := (i + 1) % len(swapped)
		swapped[i], swapped[j] = swapped[j], swapped[i]
		bad["out of order "+e.key] = join(swapped)
		bad["unknown before "+e.key] = join(slices.Insert(whole(), i, entry{"zz", "\x01"}))
		wide := join(whole())
		at := bytes.Index(wide, append([]byte{0xa0 | byte(len(e.key))}, e.key...))
		bad["wide key "+e.key] = slices.Concat(wide[:at], []byte{0xd9, byte(len(e.key))}, wide[at+1:])
	}
	good := join(whole())
	for n := range good {
		bad[fmt.Sprint("cut off at ", n)] = good[:n]
	}
	more, fewer := slices.Clone(good), slices.Clone(good)
	more[2]++
	fewer[2]--
	bad["one key more than there is"], bad["one key fewer than there are"] = more, fewer
	bad["trailing"] = append(slices.Clone(good), 0xc0)
	bad["wide map"] = append([]byte{0xdf, 0, 0}, good[1:]...)
	plain := func(data string) []byte {
		e := change("enc", "")
		e[len(e)-1].value = "\xc4" + string(rune(len(data))) + data
		return join(e)
	}
	if _, err := codec.DecodeEnvelope(plain("\xc0")); err != nil {
		t.Fatalf("unsealed: %v", err)
	}
	bad["no payload"] = plain("")
	bad["two payloads"] = plain("\xc0\xc0")
	bad["payload cut off"] = plain("\x92\xc0")
	for name, b := range bad {
		ev, err := codec.DecodeEnvelope(b)
		if !errors.Is(err, codec.ErrMalformed) || ev.Seq != 0 {
			t.Errorf("%q: %v, %+v", name, err, ev.Header)
		}
	}
}

func TestFirstVersionAloneHasNoPrev(t *testing.T) {
	first := change("prev", "")
	i := slices.IndexFunc(first, func(e entry) bool { return e.key == "version" })
	first[i].value = "\x01"
	ev, err := codec.DecodeEnvelope(join(first))
	if err != nil || ev.Version != 1 || ev.Prev != (causal.Hash{}) {
		t.Errorf("%v, %+v", err, ev.Header)
	}
}

// What is wrong with prev is told of prev, sealed or not.
func TestAMissingPrevIsNamed(t *testing.T) {
	h := causal.Header{
		Lineage: causal.Lineage{1}, ID: causal.EventID{2}, Seq: 5, Coordinate: causal.Coordinate{Scope: "s", Entity: "e"},
		Version: 2, Kind: 0x1001, Time: causal.HLC{Millis: 7}, Enc: &causal.Enc{Key: [16]byte{3}},
	}
	var wrong *codec.Error
	if _, err := codec.DecodeEnvelope(codec.AppendEnvelope(nil, &h, make([]byte, 40))); !errors.As(err, &wrong) || wrong.Key != "prev" {
		t.Errorf("%v", err)
	}
}

func TestHostileEnvelopesAreBoundedInMemory(t *testing.T) {
	for _, b := range [][]byte{
		join(change("causes", "\xdd\x00\x01\x86\xa0")), join(change("meta", "\xdf\x00\x00\x86\xa0")), join(change("gates", "\xdd\x00\x01\x86\xa0")),
		{0xdf, 0xff, 0xff, 0xff, 0xff}, {0xdd, 0xff, 0xff, 0xff, 0xff},
	} {
		b = append(b, make([]byte, 100<<10)...) // so that a claim of some thousands is not absurd
		if n := allocated(func() { codec.DecodeEnvelope(b) }); n > uint64(4*len(b)) {
			t.Errorf("%.40x: %d bytes allocated for %d", b, n, len(b))
		}
	}
}
