package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

// readable is an event as get --json and open --json print it: the envelope in base64, and what it says for people
// beside it.
type readable struct {
	envelope []byte
	keys     jsonObject
}

// jsonObject is an object of JSON: what stands under each key. That is one value, unless the key is there twice.
type jsonObject map[string][]any

// readableOf reads an event that is an object of JSON.
func readableOf(text []byte) (*readable, error) {
	r := &readable{}
	var one json.RawMessage // and not nested without end
	if err := json.Unmarshal(text, &one); err != nil {
		return nil, err
	}
	value, err := jsonValue(newNumberDecoder(text))
	if err != nil {
		return nil, err
	}
	r.keys, _ = value.(jsonObject)
	if len(r.keys["envelope"]) == 0 {
		return nil, errors.New("the object has no envelope")
	}
	encoded, ok := r.keys["envelope"][0].(string)
	if ok {
		r.envelope, err = base64.StdEncoding.DecodeString(encoded)
	}
	if !ok || err != nil {
		return nil, errors.New("the envelope is not in base64")
	}
	return r, nil
}

// differs says which key is not what it is in the event that the envelope has; "" when all are, as far as they
// are there.
func (r *readable) differs(ev *causal.Event) (string, error) {
	canonical, err := codec.EnvelopeJSON(nil, r.envelope)
	if err != nil {
		return "", err
	}
	value, err := jsonValue(newNumberDecoder(canonical))
	if err != nil {
		return "", err
	}
	want := value.(jsonObject)
	want["hash"] = []any{ev.Hash.String()}
	sealed := ev.Enc != nil
	if !sealed {
		want["state"], want["opened"] = []any{causal.Plain.String()}, want["data"]
	}
	for _, key := range slices.Sorted(maps.Keys(r.keys)) {
		got := r.keys[key]
		switch expected, known := want[key]; {
		case known && !sameJSON(got, expected):
			return fmt.Sprintf("the file has another %s than its envelope", key), nil
		case known:
		case sealed && key == "state" && len(got) == 1 && slices.Contains(sealedStates, got[0]):
		case sealed && key == "opened" && len(got) == 1 && slices.Equal(r.keys["state"], []any{causal.Opened.String()}):
		default:
			return fmt.Sprintf("the file has the key %q, which its event has not", key), nil
		}
	}
	return "", nil
}

// sealedStates are what open --json may say of a sealed payload.
var sealedStates = []any{causal.Opened.String(), causal.Shredded.String(), causal.KeyMissing.String()}

func newNumberDecoder(text []byte) *json.Decoder {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	return in
}

// jsonValue reads the next value of JSON: nil, a bool, a string, a json.Number, a []any or a jsonObject.
func jsonValue(in *json.Decoder) (any, error) {
	token, err := in.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for in.More() {
			item, err := jsonValue(in)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err = in.Token()
		return list, err
	case json.Delim('{'):
		object := jsonObject{}
		for in.More() {
			key, err := in.Token()
			if err != nil {
				return nil, err
			}
			item, err := jsonValue(in)
			if err != nil {
				return nil, err
			}
			object[key.(string)] = append(object[key.(string)], item)
		}
		_, err = in.Token()
		return object, err
	}
	return token, nil
}

// sameJSON says whether two values of JSON are one, however they are written.
func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameJSON)
	case jsonObject:
		b, ok := b.(jsonObject)
		return ok && maps.EqualFunc(a, b, func(a, b []any) bool { return slices.EqualFunc(a, b, sameJSON) })
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || sameNumber(string(a), string(b)))
	}
	return a == b
}

// sameNumber says whether two numbers are one, to the last digit.
func sameNumber(a, b string) bool {
	x, ok := new(big.Rat).SetString(a)
	if !ok { // an exponent that is beyond all that an event has
		return false
	}
	y, ok := new(big.Rat).SetString(b)
	return ok && x.Cmp(y) == 0
}
