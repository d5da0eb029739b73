package codec_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

type deposit struct {
	Amount   uint64            `msgpack:"amount"`
	Currency string            `json:"currency"`
	Tags     map[string]int    `json:"tags,omitempty"`
	ByNumber map[uint16]string `json:"by_number,omitempty"`
}

type depositOld struct {
	Cents uint64 `json:"cents"`
}

func event(kind causal.Kind, schema uint64) *causal.Event {
	return &causal.Event{Header: causal.Header{Kind: kind, Schema: schema}}
}

func registry(t testing.TB) *codec.Registry {
	r := new(codec.Registry)
	if err := errors.Join(codec.Register[deposit](r, 0x1001, 2), codec.Register[depositOld](r, 0x1001, 1)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegisteredPayloadComesBackTyped(t *testing.T) {
	r := registry(t)
	in := deposit{Amount: 1200, Currency: "EUR", Tags: map[string]int{"a": 1, "b": -2}}
	for _, v := range []any{in, &in} {
		kind, schema, data, err := r.Encode(v)
		if err != nil || kind != 0x1001 || schema != 2 {
			t.Fatalf("%v %d, %v", kind, schema, err)
		}
		if out, err := codec.Decode[deposit](r, event(kind, schema), data); err != nil || !reflect.DeepEqual(out, in) {
			t.Errorf("%+v, %v", out, err)
		}
		if out, err := r.DecodeAny(event(kind, schema), data); err != nil || !reflect.DeepEqual(out, in) {
			t.Errorf("%+v, %v", out, err)
		}
	}
}

func TestEqualPayloadsAreEqualBytes(t *testing.T) {
	r := registry(t)
	in := deposit{Amount: 1, Tags: make(map[string]int), ByNumber: make(map[uint16]string)}
	for i := range 40 {
		in.Tags[fmt.Sprint(i)] = i
		in.ByNumber[uint16(i*1000)] = "x"
	}
	var first []byte
	for range 20 {
		_, _, data, err := r.Encode(in)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		}
		if string(data) != string(first) {
			t.Fatal("two encodings of one value differ")
		}
	}
	_, _, data, _ := r.Encode(deposit{Amount: 1200, Currency: "EUR"})
	if want, _ := codec.JSONToMsgpack(nil, []byte(`{"currency":"EUR","amount":1200}`)); string(data) != string(want) {
		t.Errorf("%x, but %x by way of JSON", data, want)
	}
}

func TestRegistryErrorsTellWhatIsWrong(t *testing.T) {
	r := registry(t)
	_, _, data, err := r.Encode(deposit{})
	if err != nil {
		t.Fatal(err)
	}
	decode := func(kind causal.Kind, schema uint64, b []byte) error {
		_, err := codec.Decode[deposit](r, event(kind, schema), b)
		return err
	}
	_, _, _, unknownType := r.Encode(struct{}{})
	_, _, _, noType := r.Encode(nil)
	_, _, _, notUTF8 := r.Encode(deposit{Currency: "\xff"})
	newer := decode(0x1001, 3, data)
	for name, c := range map[string]struct{ got, want error }{
		"unknown type":    {unknownType, codec.ErrUnregistered},
		"nil":             {noType, codec.ErrUnregistered},
		"not UTF-8":       {notUTF8, codec.ErrMalformed},
		"unknown kind":    {decode(0x1002, 2, data), codec.ErrUnregistered},
		"older schema":    {decode(0x1001, 0, data), codec.ErrUnregistered},
		"newer schema":    {newer, codec.ErrNewerSchema},
		"another type":    {decode(0x1001, 1, data), codec.ErrPayloadType},
		"hostile payload": {decode(0x1001, 2, []byte("\xdd\xff\xff\xff\xff")), codec.ErrMalformed},
		"deep payload":    {decode(0x1001, 2, nested(100_000)), codec.ErrMalformed},
		"trailing bytes":  {decode(0x1001, 2, append(data, 0)), codec.ErrMalformed},
		"wrong shape":     {decode(0x1001, 2, []byte("\xa1x")), codec.ErrMalformed},
		"kind again":      {codec.Register[struct{ A int }](r, 0x1001, 2), codec.ErrRegistered},
		"type again":      {codec.Register[deposit](r, 0x1001, 5), codec.ErrRegistered},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	var e *codec.SchemaError
	if !errors.As(newer, &e) || *e != (codec.SchemaError{Kind: 0x1001, Schema: 3, Newest: 2}) {
		t.Errorf("%+v", e)
	}
}
