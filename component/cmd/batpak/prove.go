package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
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
	if err := isPublic("--key", p.key); err != nil {
		return err
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
	envelope, read := text, (*readable)(nil)
	if isJSON(text) {
		if read, err = readableOf(text); err != nil {
			return fmt.Errorf("--envelope %s: %w", p.envelope, err)
		}
		envelope = read.envelope
	}
	found := codec.VerifyReply{Valid: true, Checked: 1, Head: receipt.Seq, Hash: receipt.Hash}
	ev, err := codec.VerifyReceipt(&receipt, envelope, p.key)
	wrong := ""
	switch {
	case err != nil:
		wrong = trim(err)
	case read != nil:
		if wrong, err = read.differs(&ev); err != nil {
			return fmt.Errorf("--envelope %s: %w", p.envelope, err)
		}
		if wrong == "" && ev.Enc != nil && len(read.keys["opened"]) > 0 {
			fmt.Fprintln(v.err, "batpak: what is under \"opened\" is not proved: signed is the payload as it is sealed")
		}
	}
	if wrong != "" {
		found.Valid, found.Checked, found.Reason = false, 0, printable(wrong)
	}
	return v.tell(&found, time.Since(began))
}

// isPublic says whether what a flag has is a public nkey. A seed that is there by mistake is not repeated: it is secret.
func isPublic(flag, key string) error {
	switch {
	case nkeys.IsValidPublicKey(key):
		return nil
	case strings.HasPrefix(strings.TrimSpace(key), "S"):
		return usage("what %s has is not a public nkey, and looks like a seed, which is secret: batpak signer FILE prints the public key of the seed in a file", flag)
	}
	return usage("%s %q is not a public nkey", flag, key)
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
