package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"batpak/codec"

	"github.com/nats-io/nkeys"
)

// proving is what the flags of verify say of one receipt that is checked without a node.
type proving struct {
	receipt, envelope, key string
}

// prove checks a receipt, its event and the signature over it.
func (v *verifying) prove() error {
	p := &v.proving
	if p.receipt == "" || p.envelope == "" || p.key == "" {
		return usage("--receipt, --envelope and --key go together")
	}
	if p.receipt == "-" && p.envelope == "-" {
		return usage("standard input is for one of --receipt and --envelope")
	}
	if !nkeys.IsValidPublicKey(p.key) {
		return usage("--key %q is not a public nkey", p.key)
	}
	began := time.Now()
	text, err := v.file("--receipt", p.receipt)
	if err != nil {
		return err
	}
	format := codec.Msgpack
	if isJSON(text) {
		format = codec.JSON
	}
	var receipt codec.Receipt
	if err := codec.Unmarshal(text, format, &receipt); err != nil {
		return fmt.Errorf("--receipt %s: %w", p.receipt, err)
	}
	if text, err = v.file("--envelope", p.envelope); err != nil {
		return err
	}
	envelope, err := envelopeOf(text)
	if err != nil {
		return fmt.Errorf("--envelope %s: %w", p.envelope, err)
	}
	found := codec.VerifyReply{Valid: true, Checked: 1, Head: receipt.Seq, Hash: receipt.Hash}
	if _, err := codec.VerifyReceipt(&receipt, envelope, p.key); err != nil {
		found.Valid, found.Checked, found.Reason = false, 0, printable(trim(err))
	}
	return v.tell(&found, time.Since(began))
}

// file reads a whole file, or standard input.
func (v *verifying) file(flag, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(v.in, maxLine))
	}
	text, err := os.ReadFile(name)
	var path *os.PathError
	if errors.As(err, &path) {
		return nil, usage("%s %s: %w", flag, name, path.Err)
	}
	return text, err
}

// isJSON says whether text begins an object of JSON; no map of MessagePack begins so.
func isJSON(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	return len(text) > 0 && text[0] == '{'
}

// envelopeOf is the envelope that text is, or that an object of JSON has as the protocol says.
func envelopeOf(text []byte) ([]byte, error) {
	if !isJSON(text) {
		return text, nil
	}
	var object struct {
		Envelope []byte `json:"envelope"`
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	if object.Envelope == nil {
		return nil, errors.New("the object has no envelope")
	}
	return object.Envelope, nil
}
