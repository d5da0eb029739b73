package codec_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"

	"github.com/nats-io/nkeys"
	"github.com/vmihailenco/msgpack/v5"
)

// signed is a commit batch of n events under a key, with what a node would have answered.
type signed struct {
	signer    string
	envelopes [][]byte
	receipts  []codec.Receipt
}

func key(tb testing.TB, seed byte) nkeys.KeyPair {
	tb.Helper()
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteServer, slices.Repeat([]byte{seed}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	return pair
}

func sign(tb testing.TB, first uint64, n int) *signed {
	tb.Helper()
	pair := key(tb, 1)
	signer, err := pair.PublicKey()
	if err != nil {
		tb.Fatal(err)
	}
	s := &signed{signer: signer}
	lineage := causal.Lineage{15: 9}
	var hashes []causal.Hash
	var prev causal.Hash
	for i := range n {
		h := causal.Header{
			Lineage: lineage, ID: causal.EventID{6: 0x70, 8: 0x80, 15: byte(i + 1)}, Seq: first + uint64(i),
			Coordinate: causal.Coordinate{Scope: "s", Entity: "e"}, Version: uint64(i + 1), Kind: 0x1001,
			Time: causal.HLC{Millis: 1000, Tick: uint16(i)}, Prev: prev,
		}
		envelope := codec.AppendEnvelope(nil, &h, []byte{0xc0})
		prev = causal.HashEnvelope(envelope)
		hashes = append(hashes, prev)
		s.envelopes = append(s.envelopes, envelope)
		s.receipts = append(s.receipts, codec.Receipt{
			ID: h.ID, Seq: h.Seq, Version: h.Version, Time: h.Time.Millis, Tick: h.Time.Tick,
			Hash: prev, Prev: h.Prev, Lineage: lineage, Durable: codec.AckDisk,
		})
	}
	tree := causal.NewTree(hashes)
	last := first + uint64(n) - 1
	sig, err := pair.Sign(causal.AppendRootMessage(nil, lineage, first, last, tree.Root()))
	if err != nil {
		tb.Fatal(err)
	}
	for i := range s.receipts {
		s.receipts[i].Proof = &codec.Proof{Signer: signer, First: first, Last: last, Path: tree.Path(i), Sig: [64]byte(sig)}
	}
	return s
}

func TestAReceiptProvesItsEventInEitherFormat(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 64, 100} {
		s := sign(t, 41, n)
		for i := range s.receipts {
			for name, format := range formats {
				b, err := codec.Marshal(nil, format, &s.receipts[i])
				if err != nil {
					t.Fatal(err)
				}
				var r codec.Receipt
				if err := codec.Unmarshal(b, format, &r); err != nil {
					t.Fatal(err)
				}
				ev, err := codec.VerifyReceipt(&r, s.envelopes[i], s.signer)
				if err != nil || ev.Seq != r.Seq {
					t.Errorf("%s: event %d of %d: %v", name, i, n, err)
				}
			}
		}
	}
}

// A proof is written without its description: this is what that has to be.
func TestAProofIsWrittenAsItIsDescribed(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 64} {
		p := codec.Proof{Signer: strings.Repeat("U", 56), First: 1 << uint(n/2), Last: 1 << 40, Path: make([]causal.Hash, n), Sig: [64]byte(count(0, 64))}
		path := make([][]byte, n)
		for i := range path {
			p.Path[i] = causal.Hash(count(i, 32))
			path[i] = p.Path[i][:]
		}
		var want bytes.Buffer
		e := msgpack.NewEncoder(&want)
		e.UseCompactInts(true)
		if err := errors.Join(e.EncodeMapLen(5), e.EncodeMulti("signer", p.Signer, "first", p.First, "last", p.Last, "path", path, "sig", p.Sig[:])); err != nil {
			t.Fatal(err)
		}
		got, err := codec.Marshal(nil, codec.Msgpack, &p)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%d hashes: %x, %v, want %x", n, got, err, want.Bytes())
		}
		var back codec.Proof
		if err := codec.Unmarshal(got, codec.Msgpack, &back); err != nil || !reflect.DeepEqual(back, p) {
			t.Errorf("%d hashes: read as %+v, %v", n, back, err)
		}
		if c := p.Clone(); !reflect.DeepEqual(*c, p) || n > 0 && &c.Path[0] == &p.Path[0] {
			t.Errorf("%d hashes: the clone is %+v", n, c)
		}
	}
}

func TestAReceiptThatWasTamperedWithProvesNothing(t *testing.T) {
	other, err := key(t, 2).PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bend func(s *signed)
		want string
	}{
		"no proof":        {func(s *signed) { s.receipts[2].Proof = nil }, "no proof"},
		"another signer":  {func(s *signed) { s.signer = other }, "is signed by"},
		"another's key":   {func(s *signed) { s.signer, s.receipts[2].Proof.Signer = other, other }, "signature"},
		"no key":          {func(s *signed) { s.signer, s.receipts[2].Proof.Signer = "", "" }, "no public nkey"},
		"signature":       {func(s *signed) { s.receipts[2].Proof.Sig[63] ^= 1 }, "signature"},
		"path":            {func(s *signed) { s.receipts[2].Proof.Path[1][0] ^= 1 }, "signature"},
		"shorter path":    {func(s *signed) { s.receipts[2].Proof.Path = s.receipts[2].Proof.Path[1:] }, "path"},
		"first":           {func(s *signed) { s.receipts[2].Proof.First-- }, "signature"},
		"last":            {func(s *signed) { s.receipts[2].Proof.Last++ }, "signature"},
		"first and last":  {func(s *signed) { s.receipts[2].Proof.First--; s.receipts[2].Proof.Last-- }, "signature"},
		"from nothing":    {func(s *signed) { s.receipts[2].Proof.First = 0 }, "about the events"},
		"behind the end":  {func(s *signed) { s.receipts[2].Proof.Last = 11 }, "about the events"},
		"without end":     {func(s *signed) { s.receipts[2].Proof.Last = 1<<64 - 1 }, "path"},
		"neighbour's":     {func(s *signed) { s.receipts[2].Proof = s.receipts[3].Proof }, "signature"},
		"another event":   {func(s *signed) { s.envelopes[2] = s.envelopes[3] }, "id"},
		"receipt's id":    {func(s *signed) { s.receipts[2].ID[0] ^= 1 }, "id"},
		"receipt's seq":   {func(s *signed) { s.receipts[2].Seq++ }, "sequence"},
		"version":         {func(s *signed) { s.receipts[2].Version++ }, "version"},
		"time":            {func(s *signed) { s.receipts[2].Time++ }, "time"},
		"tick":            {func(s *signed) { s.receipts[2].Tick++ }, "time"},
		"hash":            {func(s *signed) { s.receipts[2].Hash[0] ^= 1 }, "hash"},
		"prev":            {func(s *signed) { s.receipts[2].Prev[0] ^= 1 }, "previous hash"},
		"another journal": {func(s *signed) { s.receipts[2].Lineage[0] ^= 1 }, "lineage"},
	} {
		s := sign(t, 10, 5)
		c.bend(s)
		_, err := codec.VerifyReceipt(&s.receipts[2], s.envelopes[2], s.signer)
		if !errors.Is(err, codec.ErrUnproved) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoByteOfAnEnvelopeCanBeChangedUnderItsReceipt(t *testing.T) {
	s := sign(t, 10, 5)
	for i := range s.envelopes[2] {
		for bit := range 8 {
			bent := slices.Clone(s.envelopes[2])
			bent[i] ^= 1 << bit
			if _, err := codec.VerifyReceipt(&s.receipts[2], bent, s.signer); err == nil {
				t.Fatalf("byte %d, bit %d", i, bit)
			}
		}
	}
}

// The receipts that somebody was handed are as hostile as any other bytes.
func FuzzVerifyReceipt(f *testing.F) {
	s := sign(f, 10, 5)
	for i := range s.receipts {
		for _, format := range formats {
			b, err := codec.Marshal(nil, format, &s.receipts[i])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, i)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, i int) {
		if i < 0 || i >= len(s.envelopes) {
			return
		}
		for _, format := range formats {
			var r codec.Receipt
			if codec.Unmarshal(b, format, &r) != nil {
				continue
			}
			_, err := codec.VerifyReceipt(&r, s.envelopes[i], s.signer)
			if err != nil && !errors.Is(err, codec.ErrUnproved) {
				t.Fatal(err)
			}
			if err == nil && (r.Proof.Sig != s.receipts[i].Proof.Sig || !slices.Equal(r.Proof.Path, s.receipts[i].Proof.Path)) {
				t.Fatalf("proved by another proof: %+v", r.Proof)
			}
		}
	})
}
