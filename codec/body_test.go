package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

func ptr[T any](v T) *T { return &v }

var (
	anID      = causal.EventID(unhex("018bcfe56800700080112233445566ff"))
	aLineage  = causal.Lineage(unhex("018f0a0b0c0d4e0f8011121314151617"))
	aHash     = causal.Hash(count(0, 32))
	aReceipt  = codec.Receipt{ID: anID, Seq: 7, Version: 2, Time: 1700000000000, Tick: 1, Hash: aHash, Prev: aHash, Lineage: aLineage, Durable: codec.AckStream, Duplicate: true, Proof: &codec.Proof{Signer: "N", First: 7, Last: 9, Path: []causal.Hash{aHash}, Sig: [64]byte(count(0, 64))}}
	selection = codec.Selection{After: 5, Limit: 1000, Scope: "s", Entity: "e", Lane: ptr(uint32(0)), Kinds: []causal.Kind{0x1001}, Subject: "p", Until: 9}
	anAppend  = codec.Append{
		Kind: 0xF001, Data: []byte("\x82\xa1a\x01\xa1b\x90"), Schema: 3, Lane: 4, Causes: []causal.Cause{{ID: anID}, {Lineage: aLineage, ID: anID}},
		Correlation: anID, Meta: map[string]string{"a": "b"}, Subject: "p", Key: "k", Expect: ptr(uint64(0)), Unless: &selection, Ack: codec.AckDisk, Renew: true,
	}
)

func bodies(t testing.TB) []codec.Body {
	full, _ := golden(t, "full")
	minimal, _ := golden(t, "minimal")
	one := codec.Append{Scope: "s", Entity: "e", Kind: 0x1001, Data: []byte{0xc0}}
	page := codec.ReadReply{Events: [][]byte{full, minimal}, Next: 9, Head: 10, More: true}
	return []codec.Body{
		&anAppend, &codec.Batch{Events: []codec.Append{one, one}, Key: "k", Ack: codec.AckStream}, &aReceipt,
		&codec.Receipt{ID: anID, Seq: 1, Version: 1, Hash: aHash, Lineage: aLineage, Durable: codec.AckDisk},
		&codec.BatchReply{Receipts: []codec.Receipt{aReceipt, aReceipt}}, &codec.HeadRequest{Lane: 3}, &codec.HeadReply{}, &codec.HeadReply{Version: 1, Seq: 2, Hash: aHash},
		&codec.GetRequest{ID: anID}, &codec.GetRequest{Seq: 4}, &codec.GetReply{Event: full, Hash: aHash}, &selection, &codec.Selection{}, &page,
		&codec.OpenRequest{Selection: selection}, &codec.OpenRequest{IDs: []causal.EventID{anID}},
		&codec.OpenReply{ReadReply: page, Data: []codec.Opened{{State: codec.StateOpened, Data: []byte{0xc0}}, {State: codec.StateShredded}}},
		&codec.WalkRequest{ID: anID, Limit: 5}, &codec.WalkReply{Events: [][]byte{minimal}, End: "genesis"},
		&codec.GraphRequest{ID: anID, Direction: "both", Depth: 3, Limit: 4}, &codec.GraphReply{Events: [][]byte{minimal}, Edges: []codec.Edge{{Cause: anID, Effect: anID}}, More: true},
		&codec.VerifyRequest{Receipt: &aReceipt}, &codec.VerifyRequest{From: 1, To: 2}, &codec.VerifyReply{Reason: "chain", Checked: 1, Head: 2, Hash: aHash, Bytes: 300, Signed: 1, Signers: []string{"NA", "NB"}},
		&codec.StatusRequest{}, &codec.Status{Journal: "j", Lineage: aLineage, State: codec.NodeServing, Head: 1, Durable: 2, Published: 3, Segments: 4, Bytes: 5, Streams: 6, Keys: 7, Wrapped: "clear", Gates: []string{"g"}, Signer: "N", Version: "1"},
		&codec.ShredRequest{Entity: &causal.Coordinate{Scope: "s", Entity: "e"}, Reason: "r", Actor: "a"}, &codec.ShredRequest{Category: ptr(uint8(0)), Reason: "r"},
		&codec.ShredReply{Receipt: aReceipt, Keys: []causal.KeyID{causal.KeyID(count(0, 16))}, Events: 3},
		&codec.Erasure{Subject: "p", Reason: "r", Actor: "a", Keys: []causal.KeyID{causal.KeyID(count(0, 16))}, Events: 3}, &codec.Erasure{Event: anID, Reason: "r", Keys: []causal.KeyID{}},
		&codec.Renewal{Kind: ptr(causal.Kind(0x1001)), Key: causal.KeyID(count(0, 16))},
		&codec.ErrorReply{Code: codec.CodeDenied, Message: "no", Retry: true, Gate: "g", Details: map[string]any{"code": "x", "n": uint64(1), "list": []any{int64(-1), 1.5, nil, true}}},
	}
}

var formats = map[string]codec.Format{"msgpack": codec.Msgpack, "JSON": codec.JSON}

func TestBodiesComeBackInBothFormats(t *testing.T) {
	for _, in := range bodies(t) {
		for name, format := range formats {
			b, err := codec.Marshal([]byte("x"), format, in)
			if err != nil {
				t.Errorf("%s %T: %v", name, in, err)
				continue
			}
			if b = b[1:]; format == codec.JSON && !json.Valid(b) {
				t.Errorf("%T: %s", in, b)
			} else if format == codec.Msgpack && codec.Check(b) != nil {
				t.Errorf("%T: %x", in, b)
			}
			out := reflect.New(reflect.TypeOf(in).Elem()).Interface().(codec.Body)
			if err := codec.Unmarshal(b, format, out); err != nil || !reflect.DeepEqual(in, out) {
				t.Errorf("%s %T: %v\n in %+v\nout %+v", name, in, err, in, out)
			}
		}
	}
}

func TestBodiesCutOffAnywhereAreMalformed(t *testing.T) {
	for _, in := range bodies(t) {
		for name, format := range formats {
			b, err := codec.Marshal(nil, format, in)
			if err != nil {
				t.Fatal(err)
			}
			for n := 1; n < len(b); n++ {
				out := reflect.New(reflect.TypeOf(in).Elem()).Interface().(codec.Body)
				if err := codec.Unmarshal(b[:n], format, out); !errors.Is(err, codec.ErrMalformed) {
					t.Errorf("%s %T at %d: %v", name, in, n, err)
				}
			}
			out := reflect.New(reflect.TypeOf(in).Elem()).Interface().(codec.Body)
			if err := codec.Unmarshal(append(b, '0'), format, out); !errors.Is(err, codec.ErrMalformed) {
				t.Errorf("%s %T with a byte behind: %v", name, in, err)
			}
		}
	}
}

func TestAbsentIsNotZero(t *testing.T) {
	var a codec.Append
	if err := codec.Unmarshal([]byte(`{"kind":1,"data":null}`), codec.JSON, &a); err != nil || a.Expect != nil || string(a.Data) != "\xc0" || a.Unless != nil {
		t.Errorf("%v %+v", err, a)
	}
	a = codec.Append{}
	if err := codec.Unmarshal([]byte(`{"kind":1,"data":0,"expect":0,"unless":{"lane":0}}`), codec.JSON, &a); err != nil || a.Expect == nil || *a.Expect != 0 || a.Unless.Lane == nil {
		t.Errorf("%v %+v", err, a)
	}
	if s := (codec.Selection{}); s.Max() != 100 {
		t.Errorf("limit %d", s.Max())
	}
}

func TestIntegersMayComeInAnyForm(t *testing.T) {
	for _, n := range []string{"\x05", "\xcc\x05", "\xcd\x00\x05", "\xce\x00\x00\x00\x05", "\xcf\x00\x00\x00\x00\x00\x00\x00\x05", "\xd0\x05", "\xd1\x00\x05", "\xd2\x00\x00\x00\x05", "\xd3\x00\x00\x00\x00\x00\x00\x00\x05"} {
		var h codec.HeadRequest
		if err := codec.Unmarshal([]byte("\x81\xa4lane"+n), codec.Msgpack, &h); err != nil || h.Lane != 5 {
			t.Errorf("%x: %v %+v", n, err, h)
		}
	}
}

func TestPayloadStaysByteForByte(t *testing.T) {
	data := "\x82\xd9\x01b\xcd\x00\x01\xa1a\xd3\x00\x00\x00\x00\x00\x00\x00\x05" // unsorted, long forms
	var a codec.Append
	if err := codec.Unmarshal([]byte("\x82\xa4data"+data+"\xa4kind\x05"), codec.Msgpack, &a); err != nil || string(a.Data) != data {
		t.Errorf("%v %x", err, a.Data)
	}
	deep := append([]byte("\x82\xa4kind\x05\xa4data"), nested(codec.MaxDepth)...)
	if err := codec.Unmarshal(deep, codec.Msgpack, &a); err != nil {
		t.Errorf("a payload as deep as may be: %v", err)
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	head := "\x82\xa4kind\x05\xa4data"
	for name, c := range map[string]struct {
		body   string
		format codec.Format
		into   codec.Body
	}{
		"empty append":        {"", codec.Msgpack, new(codec.Append)},
		"empty batch":         {"", codec.JSON, new(codec.Batch)},
		"empty get":           {"", codec.Msgpack, new(codec.GetRequest)},
		"not a map":           {"\x90", codec.Msgpack, new(codec.Append)},
		"no kind":             {"\x81\xa4data\xc0", codec.Msgpack, new(codec.Append)},
		"no data":             {"\x81\xa4kind\x05", codec.Msgpack, new(codec.Append)},
		"repeated key":        {"\x83\xa4kind\x05\xa4data\xc0\xa4kind\x05", codec.Msgpack, new(codec.Append)},
		"repeated JSON key":   {`{"kind":1,"data":1,"kind":1}`, codec.JSON, new(codec.Append)},
		"unknown key":         {"\x83\xa4kind\x05\xa4data\xc0\xa4kinf\x05", codec.Msgpack, new(codec.Append)},
		"unknown JSON key":    {`{"kind":1,"data":1,"kinf":1}`, codec.JSON, new(codec.Append)},
		"unknown inner key":   {`{"kind":1,"data":1,"unless":{"x":1}}`, codec.JSON, new(codec.Append)},
		"unknown receipt key": {`{"receipt":{"x":1}}`, codec.JSON, new(codec.VerifyRequest)},
		"key not a string":    {"\x81\x05\x05", codec.Msgpack, new(codec.Append)},
		"too many keys":       {"\xde\x00\x40" + strings.Repeat("\xa0\xc0", 64), codec.Msgpack, new(codec.Append)},
		"trailing":            {head + "\xc0\xc0", codec.Msgpack, new(codec.Append)},
		"deep":                {head + string(nested(codec.MaxDepth+1)), codec.Msgpack, new(codec.Append)},
		"100,000 levels":      {head + string(nested(100_000)), codec.Msgpack, new(codec.Append)},
		"100,000 JSON levels": {`{"kind":1,"data":` + strings.Repeat("[", 100_000), codec.JSON, new(codec.Append)},
		"2^32-1 elements":     {head + "\xdd\xff\xff\xff\xff", codec.Msgpack, new(codec.Append)},
		"2^32-1 events":       {"\x81\xa6events\xdd\xff\xff\xff\xff", codec.Msgpack, new(codec.Batch)},
		"2^32-1 keys":         {"\xdf\xff\xff\xff\xff", codec.Msgpack, new(codec.Append)},
		"payload not UTF-8":   {head + "\xa1\xff", codec.Msgpack, new(codec.Append)},
		"float kind":          {`{"kind":1.0,"data":1}`, codec.JSON, new(codec.Append)},
		"negative kind":       {`{"kind":-1,"data":1}`, codec.JSON, new(codec.Append)},
		"large kind":          {`{"kind":65536,"data":1}`, codec.JSON, new(codec.Append)},
		"nil kind":            {"\x82\xa4kind\xc0\xa4data\xc0", codec.Msgpack, new(codec.Append)},
		"text kind":           {`{"kind":"1","data":1}`, codec.JSON, new(codec.Append)},
		"nil optional":        {`{"kind":1,"data":1,"lane":null}`, codec.JSON, new(codec.Append)},
		"short cause":         {"\x83\xa4kind\x05\xa4data\xc0\xa6causes\x91\xc4\x02ab", codec.Msgpack, new(codec.Append)},
		"text cause":          {`{"kind":1,"data":1,"causes":["x/y"]}`, codec.JSON, new(codec.Append)},
		"empty key":           {`{"kind":1,"data":1,"key":""}`, codec.JSON, new(codec.Append)},
		"long key":            {`{"kind":1,"data":1,"key":"` + strings.Repeat("k", 257) + `"}`, codec.JSON, new(codec.Append)},
		"bad scope":           {`{"kind":1,"data":1,"scope":"\u0001"}`, codec.JSON, new(codec.Append)},
		"bad ack":             {`{"kind":1,"data":1,"ack":"later"}`, codec.JSON, new(codec.Append)},
		"meta of numbers":     {`{"kind":1,"data":1,"meta":{"a":1}}`, codec.JSON, new(codec.Append)},
		"meta key twice":      {"\x83\xa4kind\x05\xa4data\xc0\xa4meta\x82\xa1a\xa1b\xa1a\xa1b", codec.Msgpack, new(codec.Append)},
		"batch of none":       {`{"events":[]}`, codec.JSON, new(codec.Batch)},
		"batch event key":     {`{"events":[{"kind":1,"data":1,"key":"k"}]}`, codec.JSON, new(codec.Batch)},
		"batch event ack":     {`{"events":[{"kind":1,"data":1,"ack":"disk"}]}`, codec.JSON, new(codec.Batch)},
		"batch of nils":       {"\x81\xa6events\x92\xc0\xc0", codec.Msgpack, new(codec.Batch)},
		"limit 0":             {`{"limit":0}`, codec.JSON, new(codec.Selection)},
		"limit 1001":          {`{"limit":1001}`, codec.JSON, new(codec.Selection)},
		"get both":            {`{"id":"018bcfe5-6800-7000-8011-2233445566ff","seq":1}`, codec.JSON, new(codec.GetRequest)},
		"get 0":               {`{"seq":0}`, codec.JSON, new(codec.GetRequest)},
		"get bad id":          {`{"id":"018bcfe5"}`, codec.JSON, new(codec.GetRequest)},
		"get id of 15":        {"\x81\xa2id\xc4\x0faaaaaaaaaaaaaaa", codec.Msgpack, new(codec.GetRequest)},
		"ids and after":       {`{"ids":["018bcfe5-6800-7000-8011-2233445566ff"],"after":1}`, codec.JSON, new(codec.OpenRequest)},
		"no ids":              {`{"ids":[]}`, codec.JSON, new(codec.OpenRequest)},
		"receipt and range":   {`{"receipt":{},"from":1}`, codec.JSON, new(codec.VerifyRequest)},
		"status with a key":   {`{"x":1}`, codec.JSON, new(codec.StatusRequest)},
		"shred of nothing":    {`{"reason":"r"}`, codec.JSON, new(codec.ShredRequest)},
		"shred of two":        {`{"reason":"r","kind":1,"subject":"p"}`, codec.JSON, new(codec.ShredRequest)},
		"erasure of nothing":  {`{"reason":"r","keys":[],"events":0}`, codec.JSON, new(codec.Erasure)},
		"erasure of two":      {`{"reason":"r","keys":[],"events":0,"kind":1,"subject":"p"}`, codec.JSON, new(codec.Erasure)},
		"erasure of no keys":  {`{"reason":"r","events":0,"kind":1}`, codec.JSON, new(codec.Erasure)},
		"short erased key":    {"\x84\xa6reason\xa1r\xa4kind\x05\xa6events\x00\xa4keys\x91\xc4\x02ab", codec.Msgpack, new(codec.Erasure)},
		"2^32-1 erased keys":  {"\x84\xa6reason\xa1r\xa4kind\x05\xa6events\x00\xa4keys\xdd\xff\xff\xff\xff", codec.Msgpack, new(codec.Erasure)},
		"renewal of no key":   {`{"kind":1}`, codec.JSON, new(codec.Renewal)},
		"sideways graph":      {`{"id":"018bcfe5-6800-7000-8011-2233445566ff","direction":"down"}`, codec.JSON, new(codec.GraphRequest)},
		"JSON cut off":        {`{"kind":1`, codec.JSON, new(codec.Append)},
	} {
		var err error
		n := allocated(func() { err = codec.Unmarshal([]byte(c.body), c.format, c.into) })
		var e *codec.Error
		if !errors.Is(err, codec.ErrMalformed) || !errors.As(err, &e) || e.Reason == "" || strings.Contains(err.Error(), "..") {
			t.Errorf("%s: %v", name, err)
		}
		if n > uint64(64<<10+20*len(c.body)) {
			t.Errorf("%s: %d bytes allocated for %d", name, n, len(c.body))
		}
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	for body, want := range map[string]string{
		`{"events":[{"kind":1,"data":1},{"kind":-1,"data":1}]}`: "codec: body: events[1].kind: is a negative integer, not an unsigned integer",
		`{"events":[{"data":1}]}`:                               "codec: body: events[0].kind: is missing",
		`{"events":[{"kind":1,"data":1,"unless":{"kinds":1}}]}`: "codec: body: events[0].unless.kinds: is an unsigned integer, not an array",
		``: "codec: body: is empty",
	} {
		if err := codec.Unmarshal([]byte(body), codec.JSON, new(codec.Batch)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	err := codec.Unmarshal([]byte("\x82\xa4kind\xa1x\xa4data\xc0"), codec.Msgpack, new(codec.Append))
	if want := "codec: body: kind: is a string, not an unsigned integer (at byte 6)"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestRepeatedKeyIsRefusedInRepliesToo(t *testing.T) {
	err := codec.Unmarshal([]byte("\x83\xa3seq\x01\xa7version\x01\xa3seq\x02"), codec.Msgpack, new(codec.HeadReply))
	if want := "codec: body: seq: is there twice (at byte 15)"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestLimitsSayWhichOne(t *testing.T) {
	event := `{"kind":1,"data":1}`
	list := func(of string, n int) string { return "[" + strings.Repeat(of+",", n-1) + of + "]" }
	meta := func(entries, size int) string {
		m := make([]string, entries)
		for i := range m {
			m[i] = fmt.Sprintf(`"%06d":"%s"`, i, strings.Repeat("m", size-6))
		}
		return `{"kind":1,"data":1,"meta":{` + strings.Join(m, ",") + `}}`
	}
	for _, c := range []struct {
		name  string
		at    string // as much as may be
		over  string
		limit int
		into  func() codec.Body
	}{
		{"batch", `{"events":` + list(event, 1000) + `}`, `{"events":` + list(event, 1001) + `}`, 1000, func() codec.Body { return new(codec.Batch) }},
		{"meta entries", meta(64, 10), meta(65, 10), 64, func() codec.Body { return new(codec.Append) }},
		{"meta bytes", meta(64, 256), meta(64, 257), 16384, func() codec.Body { return new(codec.Append) }},
		{"kinds", `{"kinds":` + list("1", 256) + `}`, `{"kinds":` + list("1", 257) + `}`, 256, func() codec.Body { return new(codec.Selection) }},
		{"causes", `{"kind":1,"data":1,"causes":` + list(`"`+anID.String()+`"`, 256) + `}`, `{"kind":1,"data":1,"causes":` + list(`"`+anID.String()+`"`, 257) + `}`, 256, func() codec.Body { return new(codec.Append) }},
		{"ids", `{"ids":` + list(`"`+anID.String()+`"`, 1000) + `}`, `{"ids":` + list(`"`+anID.String()+`"`, 1001) + `}`, 1000, func() codec.Body { return new(codec.OpenRequest) }},
	} {
		if err := codec.Unmarshal([]byte(c.at), codec.JSON, c.into()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		err := codec.Unmarshal([]byte(c.over), codec.JSON, c.into())
		var e *codec.Error
		if !errors.Is(err, codec.ErrTooLarge) || errors.Is(err, codec.ErrMalformed) || !errors.As(err, &e) || e.Limit != c.limit {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRepliesMayGrow(t *testing.T) {
	for name, format := range formats {
		b, err := codec.Marshal(nil, format, &codec.HeadReply{Version: 1, Seq: 2})
		if err != nil {
			t.Fatal(err)
		}
		if format == codec.JSON {
			b = append(b[:len(b)-1], `,"new":[1]}`...)
		} else {
			b = append(b, "\xa3new\x91\x01"...)
			b[0]++
		}
		var h codec.HeadReply
		if err := codec.Unmarshal(b, format, &h); err != nil || h.Seq != 2 {
			t.Errorf("%s: %v %+v", name, err, h)
		}
	}
}

func TestPayloadWithRepeatedKeysDoesNotSpoilAPage(t *testing.T) {
	c := goldenCases()["minimal"]
	env := codec.AppendEnvelope(nil, &c.header, []byte("\x83\xa1a\x01\xa1a\x02\x05\x03"))
	b, err := codec.Marshal(nil, codec.JSON, &codec.ReadReply{Events: [][]byte{env}})
	if err != nil {
		t.Fatal(err)
	}
	var r codec.ReadReply
	if err := codec.Unmarshal(b, codec.JSON, &r); err != nil || string(r.Events[0]) != string(env) {
		t.Errorf("%v", err)
	}
}

func TestConflictDetailsInBothFormats(t *testing.T) {
	full, _ := golden(t, "full")
	in := codec.Conflict{Version: ptr(uint64(3)), Seq: 9, Events: codec.Envelopes{full}}
	for name, format := range formats {
		b, err := codec.Marshal(nil, format, &codec.ErrorReply{Code: codec.CodeConflict, Message: "m", Details: in.Details()})
		if err != nil {
			t.Fatal(err)
		}
		var e codec.ErrorReply
		if err := codec.Unmarshal(b, format, &e); err != nil {
			t.Fatal(err)
		}
		if out, ok := e.Conflict(); !ok || !reflect.DeepEqual(out, in) {
			t.Errorf("%s: %v %+v", name, ok, out)
		}
	}
	if _, ok := (&codec.ErrorReply{Code: codec.CodeConflict}).Conflict(); ok {
		t.Error("a conflict without details")
	}
	if codec.CodeStorage.Number() != 507 || codec.Code("x").Number() != 500 {
		t.Error("numbers")
	}
}

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	self := map[string]any{}
	self["self"] = self
	for name, body := range map[string]codec.Body{
		"no payload":   &codec.Append{Kind: 1},
		"two payloads": &codec.Append{Kind: 1, Data: []byte("\xc0\xc0")},
		"details":      &codec.ErrorReply{Details: map[string]any{"f": func() {}}},
		"endless":      &codec.ErrorReply{Details: self},
	} {
		for _, format := range formats {
			if b, err := codec.Marshal([]byte("x"), format, body); err == nil || string(b) != "x" {
				t.Errorf("%s: %x, %v", name, b, err)
			}
		}
	}
	if b, err := codec.Marshal(nil, codec.JSON, &codec.GetReply{Event: []byte("\x80")}); err == nil {
		t.Errorf("an envelope that is none: %s", b)
	}
}

func TestBodyHotPathAllocatesOnlyResults(t *testing.T) {
	request, err := codec.Marshal(nil, codec.Msgpack, &codec.Append{Kind: 0x1001, Data: []byte{0xc0}, Key: "k", Expect: ptr(uint64(1))})
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(200, func() {
		var a codec.Append
		if codec.Unmarshal(request, codec.Msgpack, &a) != nil {
			t.Error("append")
		}
	})
	if n > 3 { // the struct, its key, its expectation
		t.Errorf("append: %v allocations", n)
	}
	receipt, dst := aReceipt, make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(200, func() { dst, _ = codec.Marshal(dst[:0], codec.Msgpack, &receipt) }); n > 0 {
		t.Errorf("receipt: %v allocations", n)
	}
}
