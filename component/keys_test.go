package component_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"batpak/component"
	"batpak/keystore"
)

// wrapped gives a config a key-encryption key.
func wrapped(t *testing.T, first byte) func(*component.Config) {
	t.Helper()
	key := [keystore.KeySize]byte{first}
	for i := range key[1:] {
		key[i+1] = byte(i * 7)
	}
	w := must(keystore.NewRawKey(&key))(t)
	return func(c *component.Config) { c.Keys.Wrapper = w }
}

// logged gives a config a log that can be read when the node is closed.
func logged(to *bytes.Buffer) func(*component.Config) {
	return func(c *component.Config) { c.Logger = slog.New(slog.NewTextHandler(to, nil)) }
}

// A node says how its payload keys are, not how its config would have them.
func TestANodeSaysHowItsKeysAreWrapped(t *testing.T) {
	for what, c := range map[string]struct {
		tweaks  []func(*component.Config)
		wrapped string
		logs    string
	}{
		"nothing sealed":           {nil, "", ""},
		"nothing sealed, with key": {[]func(*component.Config){wrapped(t, 1)}, "", "has no use"},
		"in clear":                 {[]func(*component.Config){sealed}, keystore.Clear, "stored in clear"},
		"wrapped":                  {[]func(*component.Config){sealed, wrapped(t, 1)}, keystore.RawKeyMethod, "method=" + keystore.RawKeyMethod},
	} {
		t.Run(what, func(t *testing.T) {
			var log bytes.Buffer
			b := serve(t, append(c.tweaks, noOnward, logged(&log))...)
			if got := must(b.client.Status(soon(t)))(t).Wrapped; got != c.wrapped {
				t.Errorf("status says %q, want %q", got, c.wrapped)
			}
			if err := b.node.Close(); err != nil {
				t.Fatal(err)
			}
			if got := log.String(); !strings.Contains(got, c.logs) || c.logs == "" && strings.Contains(got, "keys") {
				t.Errorf("it logged %s", got)
			}
		})
	}
}

func TestAWrappedKeysetNeedsItsKey(t *testing.T) {
	b := serve(t, sealed, wrapped(t, 1), noOnward)
	must(b.client.AppendRaw(soon(t), at("shop", "order-1"), kind, []byte{1}))(t)
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tweak func(*component.Config)
		want  error
	}{{func(c *component.Config) { c.Keys.Wrapper = nil }, keystore.ErrWrapped}, {wrapped(t, 2), keystore.ErrWrongKey}} {
		cfg := b.cfg
		c.tweak(&cfg)
		if n, err := component.Open(soon(t), cfg); !errors.Is(err, c.want) {
			t.Errorf("opened: %v", err)
			n.Close()
		}
	}
	b.open(t)
	for o, err := range b.client.OpenIDs(soon(t), must(b.client.GetSeq(soon(t), 1))(t).ID) {
		if err != nil || !bytes.Equal(o.Payload, []byte{1}) {
			t.Errorf("%x, %v", o.Payload, err)
		}
	}
}
