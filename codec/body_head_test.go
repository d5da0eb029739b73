package codec_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"batpak/causal"
	"batpak/codec"

	"github.com/nats-io/nkeys"
)

// goldenHead is signed by the server nkey of the seed 1, 1, 1...
func goldenHead(t testing.TB) (codec.PublishedHead, string) {
	t.Helper()
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteServer, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	h := codec.PublishedHead{Lineage: causal.Lineage(unhex("018f0a0b0c0d4e0f8011121314151617")), Seq: 3, Time: 1700000000000, Signer: signer}
	var history causal.History
	for i := range 3 {
		history.Add(&causal.Hash{byte(i)})
	}
	h.Commitment = history.Root()
	sig, err := pair.Sign(causal.AppendHeadMessage(nil, h.Lineage, h.Seq, h.Time, h.Commitment))
	if err != nil {
		t.Fatal(err)
	}
	copy(h.Sig[:], sig)
	return h, signer
}

func TestAPublishedHeadHasItsGoldenBytes(t *testing.T) {
	h, _ := goldenHead(t)
	want, _ := goldenFile(t, "head")
	got, err := codec.Marshal(nil, codec.Msgpack, &h)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n got %s\nwant %s", err, hex.EncodeToString(got), hex.EncodeToString(want))
	}
	var back codec.PublishedHead
	if err := codec.Unmarshal(want, codec.Msgpack, &back); err != nil || back != h {
		t.Errorf("%v\n got %+v\nwant %+v", err, back, h)
	}
	text, err := codec.Marshal(nil, codec.JSON, &h)
	if err != nil {
		t.Fatal(err)
	}
	back = codec.PublishedHead{}
	if err := codec.Unmarshal(text, codec.JSON, &back); err != nil || back != h {
		t.Errorf("%s: %v %+v", text, err, back)
	}
}

func TestAHeadIsOfItsSignerAlone(t *testing.T) {
	good, signer := goldenHead(t)
	if err := good.Verify(signer); err != nil {
		t.Error(err)
	}
	other, err := nkeys.CreateServer()
	if err != nil {
		t.Fatal(err)
	}
	another, err := other.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Verify(another); !errors.Is(err, codec.ErrUnproved) {
		t.Errorf("by another signer: %v", err)
	}
	for what, bend := range map[string]func(h *codec.PublishedHead){
		"lineage":    func(h *codec.PublishedHead) { h.Lineage[0] ^= 1 },
		"sequence":   func(h *codec.PublishedHead) { h.Seq++ },
		"time":       func(h *codec.PublishedHead) { h.Time++ },
		"commitment": func(h *codec.PublishedHead) { h.Commitment[31] ^= 1 },
		"signature":  func(h *codec.PublishedHead) { h.Sig[0] ^= 1 },
		"signer":     func(h *codec.PublishedHead) { h.Signer = another },
		"no signer":  func(h *codec.PublishedHead) { h.Signer = "" },
		"junk":       func(h *codec.PublishedHead) { h.Signer = "SXXX" },
	} {
		h := good
		bend(&h)
		if err := h.Verify(signer); !errors.Is(err, codec.ErrUnproved) {
			t.Errorf("another %s: %v", what, err)
		}
		if err := h.Verify(h.Signer); !errors.Is(err, codec.ErrUnproved) {
			t.Errorf("another %s, by its own signer: %v", what, err)
		}
	}
}

func TestAHeadHasSignerAndSignatureOrNeither(t *testing.T) {
	h, _ := goldenHead(t)
	for name, format := range formats {
		plain := h
		plain.Signer, plain.Sig = "", [64]byte{}
		b, err := codec.Marshal(nil, format, &plain)
		if err != nil {
			t.Fatal(err)
		}
		var back codec.PublishedHead
		if err := codec.Unmarshal(b, format, &back); err != nil || back != plain {
			t.Errorf("%s: %v %+v", name, err, back)
		}
	}
	b, err := codec.Marshal(nil, codec.Msgpack, &h)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"lineage", "seq", "time", "commitment", "signer", "sig"} {
		without := bytes.Replace(b, append([]byte{0xa0 | byte(len(key))}, key...), append([]byte{0xa0 | byte(len(key))}, bytes.ToUpper([]byte(key))...), 1)
		if err := codec.Unmarshal(without, codec.Msgpack, new(codec.PublishedHead)); !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("without %s: %v", key, err)
		}
	}
}

func FuzzUnmarshalHead(f *testing.F) {
	h, _ := goldenHead(f)
	for _, format := range formats {
		b, err := codec.Marshal(nil, format, &h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, format := range formats {
			var in codec.PublishedHead
			if !unmarshals(t, b, name, format, &in) {
				continue
			}
			if err := in.Verify(in.Signer); err == nil && in != h {
				t.Errorf("%s %x: verified", name, b)
			}
			out, err := codec.Marshal(nil, format, &in)
			if err != nil {
				t.Fatalf("%s %x: %v", name, b, err)
			}
			var again codec.PublishedHead
			if err := codec.Unmarshal(out, format, &again); err != nil || in.Signer != "" && again != in {
				t.Errorf("%s %x: %v\n in %+v\nout %+v", name, b, err, in, again)
			}
		}
	})
}
