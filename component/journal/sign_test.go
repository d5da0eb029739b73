package journal_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
	"batpak/keystore"

	"github.com/nats-io/nkeys"
)

// signer is a signer that is the same in each run.
func signer(tb testing.TB, n byte) (journal.Signer, string) {
	tb.Helper()
	seed, err := nkeys.EncodeSeed(nkeys.PrefixByteServer, bytes.Repeat([]byte{n}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	s, err := journal.NewSigner(seed)
	if err != nil {
		tb.Fatal(err)
	}
	public, err := s.PublicKey()
	if err != nil {
		tb.Fatal(err)
	}
	return s, public
}

// proved checks receipts against the events that the journal has, without the journal's word for it.
func proved(tb testing.TB, j *journal.Journal, public string, receipts []codec.Receipt) {
	tb.Helper()
	for i := range receipts {
		ev, err := j.Get(receipts[i].ID)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := codec.VerifyReceipt(&receipts[i], ev.Envelope, public); err != nil {
			tb.Error(err)
		}
	}
}

// manyAtOnce submits batches while a first group is being written, so that the rest is one group.
func manyAtOnce(tb testing.TB, j *journal.Journal, n int) (all [][]codec.Receipt) {
	tb.Helper()
	all = make([][]codec.Receipt, n)
	var wg sync.WaitGroup
	for i := range n {
		b := keyed(fmt.Sprintf("k%d", i), event(fmt.Sprintf("e%d", i%7), uint64(i)))
		if i%5 == 0 {
			b.Events = append(b.Events, event("more", uint64(i)), event("more", uint64(i+1)))
		}
		wg.Add(1)
		err := j.Submit(b, func(r []codec.Receipt, err error) {
			defer wg.Done()
			if err != nil {
				tb.Error(err)
			}
			all[i] = keep(r)
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	wg.Wait()
	return all
}

func TestEveryReceiptProvesItsEvent(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		disk := newDisk(t)
		o := journal.Options{Name: "signed", Seal: seal, SegmentBytes: small, Signer: pair}
		j := openFS(t, disk, o)
		if j.Signer() != public {
			t.Fatalf("signer %q", j.Signer())
		}
		lone := mustAppend(t, j, keyed("lone", event("e", 1)))
		if p := lone[0].Proof; p == nil || p.First != 1 || p.Last != 1 || len(p.Path) != 0 {
			t.Errorf("a lone event has %+v", p)
		}
		all := append(manyAtOnce(t, j, 200), lone)
		fill(t, j, 3)
		wide := 0
		for _, receipts := range all {
			proved(t, j, public, receipts)
			wide = max(wide, len(receipts[0].Proof.Path))
		}
		if wide == 0 {
			t.Error("no group of more than one event")
		}
		if seal == keystore.Entity {
			at := at("e")
			shredded, err := j.Shred(context.Background(), journal.Erasure{Entity: &at, Reason: "asked"})
			if err != nil {
				t.Fatal(err)
			}
			proved(t, j, public, []codec.Receipt{shredded.Receipt})
			renewing := event("e", 2)
			renewing.Renew = true
			proved(t, j, public, mustAppend(t, j, one(renewing)))
			proved(t, j, public, lone) // still
		}
	}
}

// A duplicate proves the same by the same signature: in the group of the first time, later, from the open
// segment, from a sealed one, and from a journal that was opened again.
// What Append and Shred return is the caller's, whatever is answered later.
func TestProofsOfAppendAndShredLast(t *testing.T) {
	t.Parallel()
	pair, _ := signer(t, 1)
	j := openFS(t, newDisk(t), journal.Options{Name: "signed", Seal: keystore.Entity, Signer: pair})
	var receipts []codec.Receipt
	for i := range 5 {
		entity := fmt.Sprintf("gone%d", i)
		receipts = append(receipts, mustAppend(t, j, one(event(entity, 1)))...)
		erased, err := j.Shred(t.Context(), erasureOf(entity))
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, erased.Receipt)
		manyAtOnce(t, j, 3)
	}
	for i := range receipts {
		r := &receipts[i]
		if want, err := j.Proof(r.Seq); err != nil || want == nil || !reflect.DeepEqual(r.Proof, want) {
			t.Errorf("event %d has %+v, want %+v, %v", r.Seq, r.Proof, want, err)
		}
	}
}

func TestADuplicateProvesTheSame(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	disk := newDisk(t)
	o := journal.Options{Name: "signed", SegmentBytes: small, Signer: pair}
	j := openFS(t, disk, o)
	first := manyAtOnce(t, j, 150)
	again := func(when string) {
		t.Helper()
		for i, receipts := range manyAtOnce(t, j, 150) {
			for k := range receipts {
				want := first[i][k]
				want.Duplicate = true
				if !reflect.DeepEqual(receipts[k], want) {
					t.Fatalf("%s: batch %d: %+v, want %+v", when, i, receipts[k], want)
				}
			}
			proved(t, j, public, receipts)
		}
	}
	again("in the open segment")
	fill(t, j, 3)
	again("in a sealed segment")
	reopen := func(o journal.Options) {
		t.Helper()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = openFS(t, disk, o)
	}
	reopen(o)
	again("opened again")
	other, _ := signer(t, 2)
	o.Signer = other
	reopen(o)
	again("opened with another signer")

	b := keyed("twice", event("e", 1))
	var wg sync.WaitGroup
	var both [8]codec.Receipt
	for i := range both {
		wg.Add(1)
		if err := j.Submit(b, func(r []codec.Receipt, err error) {
			defer wg.Done()
			if err != nil {
				t.Error(err)
				return
			}
			both[i] = keep(r)[0]
		}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for i := range both {
		if !reflect.DeepEqual(both[i].Proof, both[0].Proof) || both[0].Proof == nil {
			t.Errorf("attempt %d has another proof", i)
		}
	}

	o.Signer = nil
	reopen(o)
	if r := mustAppend(t, j, keyed("k0", event("e0", 0), event("more", 0), event("more", 1))); !r[0].Duplicate || r[0].Proof != nil {
		t.Errorf("without a signer: %+v", r[0])
	}
	mustAppend(t, j, keyed("unsigned", event("e", 3)))
	o.Signer = pair
	reopen(o)
	if r := mustAppend(t, j, keyed("unsigned", event("e", 3))); !r[0].Duplicate || r[0].Proof != nil {
		t.Errorf("what was not signed: %+v", r[0])
	}
	again("after a time without a signer")
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
}

// failingSigner signs until it does not.
type failingSigner struct {
	journal.Signer
	mu  sync.Mutex
	err error
	cut bool
}

func (s *failingSigner) set(err error, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.cut = err, cut
}

func (s *failingSigner) Sign(m []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	sig, err := s.Signer.Sign(m)
	if s.cut {
		sig = sig[1:]
	}
	return sig, err
}

func TestWhatCannotBeSignedIsNotWritten(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	s := &failingSigner{Signer: pair}
	j := openFS(t, newDisk(t), journal.Options{Name: "signed", Seal: keystore.Entity, SegmentBytes: small, Signer: s})
	mustAppend(t, j, one(event("e", 1)))
	broken := errors.New("no key today")
	s.set(broken, false)
	if err := appendErr(j, one(event("e", 2))); !errors.Is(err, journal.ErrStorage) || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	s.set(nil, true)
	if err := appendErr(j, one(event("e", 2))); !errors.Is(err, journal.ErrStorage) {
		t.Errorf("got %v", err)
	}
	s.set(nil, false)
	r := mustAppend(t, j, one(event("e", 3)))
	if r[0].Seq != 2 || r[0].Version != 2 || j.Poisoned() != nil {
		t.Errorf("got %+v, poisoned %v", r[0], j.Poisoned())
	}
	proved(t, j, public, r)
}

func TestASignerThatCannotSignIsRefused(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	onlyPublic, err := nkeys.FromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]journal.Signer{"public part": onlyPublic, "curve": curve, "cut": &failingSigner{Signer: pair, cut: true}} {
		_, err := journal.Open(context.Background(), newDisk(t), journal.Options{Name: "signed", Signer: s})
		if !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whatever byte of a group with a signature is lost, the group is lost as a whole or the log is refused: no receipt comes
// without its proof, and none with a wrong one.
func TestASignatureIsThereWithItsGroup(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	o := journal.Options{Name: "signed", SegmentBytes: smallest, Signer: pair}
	m := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := openFS(t, m, o)
	b := keyed("first", event("a", 1), event("b", 2), event("a", 3))
	mustAppend(t, j, b)
	segment := readAll(t, m)[firstSegment]
	end := len(bytes.TrimRight(segment, "\x00"))
	for off := 4096 + 16; off < end; off++ { // behind the mark of a new journal
		disk := m.Snapshot() // nothing says that the group was durable
		if err := disk.Flip(firstSegment, int64(off), 0x10); err != nil {
			t.Fatal(err)
		}
		j, err := journal.Open(context.Background(), disk.Mount(), o)
		if err != nil {
			t.Fatalf("byte %d: %v", off, err)
		}
		if n := j.Visible(); n != 0 {
			t.Errorf("byte %d: %d events are left", off, n)
		}
		r := mustAppend(t, j, b)
		if r[0].Duplicate {
			t.Errorf("byte %d: a duplicate of nothing", off)
		}
		proved(t, j, public, r)
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Where a signature has rotted in a segment that Open does not read, a duplicate gets an error and no receipt, and
// Verify finds it.
func TestARottenSignatureProvesNothing(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	o := journal.Options{Name: "signed", SegmentBytes: smallest, Signer: pair}
	m := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := openFS(t, m, o)
	b := keyed("first", event("a", 1), event("b", 2), event("a", 3))
	mustAppend(t, j, b)
	fill(t, j, 3)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	off := bytes.Index(readAll(t, m)[firstSegment], []byte(public))
	for _, at := range []int{-16, -3, 0, 55, 56, 119} {
		disk := m.Snapshot()
		if err := disk.Flip(firstSegment, int64(off+at), 0x04); err != nil {
			t.Fatal(err)
		}
		j := openFS(t, disk.Mount(), o)
		if r, err := j.Append(context.Background(), b); !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("byte %d of the body: %+v, %v", at, r, err)
		}
		var found *journal.VerifyError
		if _, err := j.Verify(context.Background(), 0, 0); !errors.As(err, &found) {
			t.Errorf("byte %d of the body: verified: %v", at, err)
		}
		proved(t, j, public, mustAppend(t, j, one(event("a", 4))))
	}
}

// With signatures in its groups, the log holds what it promises on any disk, and receipts prove the same after a crash.
func TestExploreSignedJournal(t *testing.T) {
	o := explored
	o.Signer, _ = signer(t, 1)
	steps, options := 12, faulttest.Options{Recover: 400, RecoverKills: 60, Schedules: 1}
	if underRace {
		steps, options.Recover, options.RecoverKills = 4, 60, 10
	}
	r := faulttest.Explore(t, exploredWith(o, faultfs.POSIX, steps), options)
	t.Logf("%s%v", r, r.Elapsed)
	if !r.Stopped && !r.Complete() {
		t.Error("not every operation was made to fail and crashed at")
	}
}

// The frame is where and what the package's doc says, read here without the package.
func TestTheSignatureFrameIsAsDocumented(t *testing.T) {
	t.Parallel()
	s, public := signer(t, 1)
	m := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := openFS(t, m, journal.Options{Name: "signed", SegmentBytes: small, Signer: s})
	receipts := mustAppend(t, j, one(event("a", 1)))
	receipts = append(receipts, mustAppend(t, j, keyed("k", event("a", 2), event("b", 3)))...)
	segment := readAll(t, m)[firstSegment]
	at := bytes.LastIndex(segment, []byte(public)) - 16
	if n := binary.LittleEndian.Uint32(segment[at:]); n != 120 || segment[at+13] != 4 {
		t.Fatalf("a frame of type %d with %d bytes", segment[at+13], n)
	}
	if segment[at+16+120+13] != 2 {
		t.Error("no commit frame behind it")
	}
	hash := func(parts ...[]byte) []byte {
		h := sha256.Sum256(slices.Concat(parts...))
		return h[:]
	}
	root := hash([]byte{1}, hash([]byte{0}, receipts[1].Hash[:]), hash([]byte{0}, receipts[2].Hash[:]))
	lineage := j.Lineage()
	message := slices.Concat([]byte("batpak.root.v1\x00"), lineage[:], []byte{0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3}, root)
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(public)
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(key[1:33], message, segment[at+16+56:at+16+120]) {
		t.Error("the signature is another one")
	}
}
