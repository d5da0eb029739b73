package codec_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

type (
	profile1 struct {
		Name string `json:"name"`
	}
	profile2 struct {
		First string `json:"first"`
		Last  string `json:"last"`
	}
	profile struct {
		Country string `json:"country"`
		First   string `json:"first"`
		Last    string `json:"last"`
	}
)

const kindProfile causal.Kind = 0x3001

var errNoSpace = errors.New("a name without a space")

func split(p profile1) (profile2, error) {
	first, last, ok := strings.Cut(p.Name, " ")
	if !ok {
		return profile2{}, errNoSpace
	}
	return profile2{First: first, Last: last}, nil
}

func settle(p profile2) (profile, error) {
	return profile{Country: "unknown", First: p.First, Last: p.Last}, nil
}

func profiles(t testing.TB) *codec.Registry {
	r := new(codec.Registry)
	if err := errors.Join(
		codec.Register[profile1](r, kindProfile, 1), codec.Register[profile2](r, kindProfile, 2), codec.Register[profile](r, kindProfile, 3),
		codec.Upcast(r, split), codec.Upcast(r, settle), r.Check(),
	); err != nil {
		t.Fatal(err)
	}
	return r
}

// The payloads of all schemas, as they were stored, are read as the newest.
func TestGoldenPayloadsOfEachSchemaAreRead(t *testing.T) {
	r := profiles(t)
	for schema, country := range map[uint64]string{1: "unknown", 2: "unknown", 3: "GB"} {
		stored, _ := goldenFile(t, filepath.Join("payloads", fmt.Sprintf("profile-%d", schema)))
		before := slices.Clone(stored)
		want := profile{Country: country, First: "Ada", Last: "Lovelace"}
		if got, err := codec.Decode[profile](r, event(kindProfile, schema), stored); err != nil || got != want {
			t.Errorf("schema %d: %+v, %v", schema, got, err)
		}
		if got, err := r.DecodeAny(event(kindProfile, schema), stored); err != nil || got != want {
			t.Errorf("schema %d: %+v, %v", schema, got, err)
		}
		if !slices.Equal(before, stored) {
			t.Errorf("schema %d: the stored bytes have changed", schema)
		}
	}
	// The newest schema is written as it was, and an older type can still be asked for.
	stored, _ := goldenFile(t, filepath.Join("payloads", "profile-3"))
	if kind, schema, data, err := r.Encode(profile{Country: "GB", First: "Ada", Last: "Lovelace"}); err != nil || kind != kindProfile || schema != 3 || !slices.Equal(data, stored) {
		t.Errorf("%x, %v", data, err)
	}
	stored, _ = goldenFile(t, filepath.Join("payloads", "profile-1"))
	if got, err := codec.Decode[profile2](r, event(kindProfile, 1), stored); err != nil || got != (profile2{"Ada", "Lovelace"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUpcastErrorsTellWhatIsWrong(t *testing.T) {
	r := profiles(t)
	first, _ := goldenFile(t, filepath.Join("payloads", "profile-1"))
	third, _ := goldenFile(t, filepath.Join("payloads", "profile-3"))
	decode := func(schema uint64, b []byte) error {
		_, err := codec.Decode[profile](r, event(kindProfile, schema), b)
		return err
	}
	_, back := codec.Decode[profile1](r, event(kindProfile, 3), third)
	_, any := r.DecodeAny(event(kindProfile, 1), []byte("\x81\xa4name\xa3Ada"))
	type other struct{ A int }
	if err := codec.Register[other](r, 0x3002, 2); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want error }{
		"newer":         {decode(4, third), codec.ErrNewerSchema},
		"downwards":     {back, codec.ErrPayloadType},
		"refused":       {decode(1, []byte("\x81\xa4name\xa3Ada")), codec.ErrUpcast},
		"why":           {decode(1, []byte("\x81\xa4name\xa3Ada")), errNoSpace},
		"refused, any":  {any, codec.ErrUpcast},
		"hostile":       {decode(1, []byte("\xdd\xff\xff\xff\xff")), codec.ErrMalformed},
		"wrong shape":   {decode(1, append(first, 0)), codec.ErrMalformed},
		"again":         {codec.Upcast(r, split), codec.ErrRegistered},
		"skips one":     {codec.Upcast(r, func(profile1) (profile, error) { return profile{}, nil }), codec.ErrStep},
		"downwards too": {codec.Upcast(r, func(profile) (profile2, error) { return profile2{}, nil }), codec.ErrStep},
		"another kind":  {codec.Upcast(r, func(profile1) (other, error) { return other{}, nil }), codec.ErrStep},
		"no step":       {codec.Upcast[profile2, profile](r, nil), codec.ErrStep},
		"unknown type":  {codec.Upcast(r, func(profile) (struct{}, error) { return struct{}{}, nil }), codec.ErrUnregistered},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

func TestCheckFindsStepsThatAreMissing(t *testing.T) {
	type a0 struct{ A int }
	type a1 struct{ A int }
	type a2 struct{ A int }
	type b1 struct{ B int }
	type b9 struct{ B int }
	type c5 struct{ C int }
	r := new(codec.Registry)
	if err := errors.Join(r.Check(),
		codec.Register[a0](r, 0x1001, 0), codec.Register[a1](r, 0x1001, 1), codec.Register[a2](r, 0x1001, 2),
		codec.Register[c5](r, 0x1003, 5),
		codec.Upcast(r, func(a a0) (a1, error) { return a1(a), nil }),
	); err != nil {
		t.Fatal(err)
	}
	var gap *codec.GapError
	if err := r.Check(); !errors.Is(err, codec.ErrGap) || !errors.As(err, &gap) || *gap != (codec.GapError{Kind: 0x1001, From: 1}) {
		t.Errorf("%v", err)
	}
	if err := codec.Upcast(r, func(a a1) (a2, error) { return a2(a), nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Errorf("%v", err)
	}
	if err := errors.Join(codec.Register[b1](r, 0x1002, 1), codec.Register[b9](r, 0x1002, 1<<60)); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err == nil || err.Error() != "codec: payload: kind 0x1002: no upcast from schema 1 to 2\ncodec: payload: kind 0x1002: no upcast from schema 2 to 3" {
		t.Errorf("%v", err)
	}
}

// An old event is read as the newest type, and its bytes stay as they are.
func ExampleUpcast() {
	var r codec.Registry
	err := errors.Join(
		codec.Register[profile1](&r, kindProfile, 1),
		codec.Register[profile2](&r, kindProfile, 2),
		codec.Upcast(&r, func(p profile1) (profile2, error) {
			first, last, _ := strings.Cut(p.Name, " ")
			return profile2{First: first, Last: last}, nil
		}),
		r.Check(),
	)
	if err != nil {
		panic(err)
	}
	_, _, data, _ := r.Encode(profile1{Name: "Ada Lovelace"})
	p, err := codec.Decode[profile2](&r, &causal.Event{Header: causal.Header{Kind: kindProfile, Schema: 1}}, data)
	fmt.Printf("%+v %v\n", p, err)
	// Output: {First:Ada Last:Lovelace} <nil>
}
