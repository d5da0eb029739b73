package codec_test

import (
	"errors"
	"fmt"

	"batpak/causal"
	"batpak/codec"
)

func ExampleDecodeEnvelope() {
	h := causal.Header{
		Lineage: causal.Lineage{0: 1, 15: 1}, ID: causal.EventID{0: 1, 15: 7}, Seq: 1, Version: 1, Kind: 0x1001,
		Coordinate: causal.Coordinate{Scope: "tenant-a", Entity: "account-1"},
		Time:       causal.HLC{Millis: 1700000000000},
	}
	data, _ := codec.JSONToMsgpack(nil, []byte(`{"currency": "EUR", "amount": 1200}`))
	envelope := codec.AppendEnvelope(nil, &h, data)

	ev, err := codec.DecodeEnvelope(envelope)
	fmt.Println(ev.Coordinate, ev.Version, err)
	payload, _ := codec.MsgpackToJSON(nil, ev.Data)
	fmt.Println(string(payload))

	// An event has one envelope: anything else is refused.
	_, err = codec.DecodeEnvelope(append(envelope, 0))
	fmt.Println(errors.Is(err, codec.ErrMalformed), err)
	// Output:
	// tenant-a/account-1 1 <nil>
	// {"amount":1200,"currency":"EUR"}
	// true codec: envelope: data: bytes follow the envelope (at byte 150)
}

func ExampleUnmarshal() {
	request := []byte(`{"kind": 4097, "data": {"amount": 1200}, "expect": 0, "key": "order-17"}`)
	var a codec.Append
	if err := codec.Unmarshal(request, codec.JSON, &a); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %x %d %s\n", a.Kind, a.Data, *a.Expect, a.Key)

	err := codec.Unmarshal([]byte(`{"kind": 4097, "data": 1, "lanes": 2}`), codec.JSON, new(codec.Append))
	fmt.Println(err)
	// Output:
	// 0x1001 81a6616d6f756e74cd04b0 0 order-17
	// codec: body: lanes: is not a key of this body
}

func ExampleRegistry() {
	type Deposited struct {
		Amount   uint64 `json:"amount"`
		Currency string `json:"currency"`
	}
	var payloads codec.Registry
	if err := codec.Register[Deposited](&payloads, 0x1001, 1); err != nil {
		fmt.Println(err)
	}
	kind, schema, data, _ := payloads.Encode(Deposited{1200, "EUR"})

	ev := causal.Event{Header: causal.Header{Kind: kind, Schema: schema}, Data: data}
	d, err := codec.Decode[Deposited](&payloads, &ev, ev.Data)
	fmt.Println(d.Amount, d.Currency, err)

	ev.Schema = 2
	_, err = codec.Decode[Deposited](&payloads, &ev, ev.Data)
	fmt.Println(errors.Is(err, codec.ErrNewerSchema), err)
	// Output:
	// 1200 EUR <nil>
	// true codec: payload: kind 0x1001: schema 2 is newer than 1
}

func ExampleEscapeToken() {
	token := codec.EscapeToken("shop.eu/Zoë")
	name, err := codec.UnescapeToken(token)
	fmt.Println(token, name, err)
	_, err = codec.UnescapeToken("shop%2eeu")
	fmt.Println(err)
	// Output:
	// shop%2Eeu%2FZo%C3%AB shop.eu/Zoë <nil>
	// codec: token: an escape is % and two upper-case hex digits (at byte 4)
}
