package journal

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"

	"batpak/causal"
	"batpak/codec"

	"github.com/nats-io/nkeys"
)

// Signer signs the commit groups of a journal, and its head; an nkeys.KeyPair is one. Sign makes an Ed25519 signature
// of 64 bytes, and is called from one goroutine at a time.
type Signer interface {
	PublicKey() (string, error)
	Sign(message []byte) ([]byte, error)
}

const (
	signerSize = 56 // bytes of a public nkey as text
	sigSize    = 64
	signBody   = signerSize + sigSize // bytes of a signature frame's body

	proofsAtOnce = 16 // get their memory together

	keptProofs = 8 // groups of which the proofs are kept at hand for duplicates
)

// NewSigner returns what signs by the seed of an nkey, which it does not keep. It is quicker than an
// nkeys.KeyPair, which makes the key of the seed each time. An error says that it is no seed.
func NewSigner(seed []byte) (Signer, error) {
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("journal: %w: signer: %w", ErrInvalid, err)
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("journal: %w: signer: %w", ErrInvalid, err)
	}
	_, raw, err := nkeys.DecodeSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("journal: %w: signer: %w", ErrInvalid, err)
	}
	defer clear(raw)
	return &seedSigner{public, ed25519.NewKeyFromSeed(raw)}, nil
}

type seedSigner struct {
	public string
	key    ed25519.PrivateKey
}

func (s *seedSigner) PublicKey() (string, error)          { return s.public, nil }
func (s *seedSigner) Sign(message []byte) ([]byte, error) { return ed25519.Sign(s.key, message), nil }

// Wipe overwrites the key, when nothing is signed any more.
func (s *seedSigner) Wipe() { clear(s.key) }

// signing is a journal's signer with its name.
type signing struct {
	Signer
	public string
	one    sync.Mutex // a signer is asked for one signature at a time
}

// newSigning checks that a signer is what it says, so that no receipt is given that proves nothing.
func newSigning(s Signer) (*signing, error) {
	if s == nil {
		return nil, nil
	}
	public, err := s.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("journal: %w: signer: %w", ErrInvalid, err)
	}
	if !nkeys.IsValidPublicKey(public) || len(public) != signerSize {
		return nil, invalid("the signer's name is not a public nkey")
	}
	on := &signing{Signer: s, public: public}
	if _, err := on.sign(causal.Lineage{}, 1, causal.NewTree([]causal.Hash{{}})); err != nil {
		return nil, fmt.Errorf("journal: %w: signer: %w", ErrInvalid, err)
	}
	return on, nil
}

// sign signs the root over the events from first on.
func (on *signing) sign(lineage causal.Lineage, first uint64, tree *causal.Tree) (*signedGroup, error) {
	g := &signedGroup{signer: on.public, first: first, tree: tree}
	var err error
	if g.sig, err = on.message(causal.AppendRootMessage(nil, lineage, first, g.last(), g.tree.Root())); err != nil {
		return nil, err
	}
	return g, nil
}

// message signs a message.
func (on *signing) message(b []byte) (sig [sigSize]byte, err error) {
	on.one.Lock()
	made, err := on.Sign(b)
	on.one.Unlock()
	if err != nil {
		return sig, err
	}
	if len(made) != sigSize {
		return sig, fmt.Errorf("a signature of %d bytes", len(made))
	}
	return [sigSize]byte(made), nil
}

// signedGroup proves the events of a commit group.
type signedGroup struct {
	signer string
	first  uint64
	tree   *causal.Tree
	sig    [sigSize]byte
}

func (g *signedGroup) last() uint64 { return g.first + uint64(g.tree.Len()) - 1 }

func (g *signedGroup) has(seq uint64) bool { return g != nil && g.first <= seq && seq <= g.last() }

func (g *signedGroup) proof(seq uint64) *codec.Proof {
	return &codec.Proof{Signer: g.signer, First: g.first, Last: g.last(), Path: g.tree.Path(int(seq - g.first)), Sig: g.sig}
}

// appendSignature appends the body of the group's signature frame.
func (g *signedGroup) appendSignature(dst []byte) []byte {
	return append(append(dst, g.signer...), g.sig[:]...)
}

// verify says whether the group's signer has signed it; whether it is the right one is not for the log to say.
func (g *signedGroup) verify(lineage causal.Lineage) error {
	key, err := nkeys.FromPublicKey(g.signer)
	if err == nil {
		err = key.Verify(causal.AppendRootMessage(nil, lineage, g.first, g.last(), g.tree.Root()), g.sig[:])
	}
	if err != nil {
		return fmt.Errorf("the signature over the events %d to %d is not one of %q", g.first, g.last(), g.signer)
	}
	return nil
}

// signGroup signs a group before it is written; nil when the journal does not sign.
func (c *committer) signGroup(g *group) (*signedGroup, error) {
	on := c.j.signing
	if on == nil {
		return nil, nil
	}
	signed, err := on.sign(c.j.lineage, g.events[0].head.Seq, g.tree)
	if err != nil {
		return nil, fmt.Errorf("journal: %w: sign: %w", ErrStorage, err)
	}
	return signed, nil
}

// prover gives receipts their proofs. It belongs to the reply goroutine: paths cost the committer nothing
// there, and what a duplicate has to look up in the log keeps nobody from the disk.
type prover struct {
	j    *Journal
	kept []*signedGroup // looked up for duplicates, the latest first

	lasting proofs // for requests that keep theirs
	passing proofs // for the others, each of which gets the memory of the one before
}

// prove adds the proofs to a request's receipts. Its group is nil when the journal does not sign, or when
// the group has no events.
func (p *prover) prove(r *request, group *signedGroup) {
	if p.j.signing == nil {
		return
	}
	memory := &p.lasting
	if !r.keeps {
		memory = &p.passing
		memory.proofs, memory.paths = memory.proofs[:0], memory.paths[:0]
	}
	for i := range r.receipts {
		rc := &r.receipts[i]
		from := group
		if !from.has(rc.Seq) {
			var err error
			if from, err = p.lookUp(rc.Seq); err != nil {
				r.receipts, r.err = nil, err
				return
			}
		}
		if from != nil {
			rc.Proof = memory.add(from, rc.Seq)
		}
	}
}

// proofs is memory for proofs, as much as is in use: proofsAtOnce get theirs together, so a caller who keeps one
// keeps its few neighbours too.
type proofs struct {
	proofs []codec.Proof
	paths  []causal.Hash
}

// add is g.proof from this memory.
func (m *proofs) add(g *signedGroup, seq uint64) *codec.Proof {
	n := len(m.proofs)
	if n == cap(m.proofs) {
		n = 0
		m.proofs, m.paths = make([]codec.Proof, 0, proofsAtOnce), make([]causal.Hash, 0, proofsAtOnce*8)
	}
	path := g.tree.AppendPath(m.paths[len(m.paths):], int(seq-g.first))
	if n := len(m.paths) + len(path); n <= cap(m.paths) {
		m.paths = m.paths[:n]
	}
	m.proofs = m.proofs[:n+1]
	proof := &m.proofs[n]
	proof.Signer, proof.First, proof.Last, proof.Sig = g.signer, g.first, g.last(), g.sig
	proof.Path = path[:len(path):len(path)]
	return proof
}

// lookUp returns what the log has to prove a visible event by, nil when the event's group is not signed.
func (p *prover) lookUp(seq uint64) (*signedGroup, error) {
	for i, g := range p.kept {
		if g.has(seq) {
			copy(p.kept[1:], p.kept[:i])
			p.kept[0] = g
			return g, nil
		}
	}
	g, err := p.j.signedGroupOf(seq)
	if g == nil || err != nil {
		return nil, err
	}
	p.kept = slices.Insert(p.kept, 0, g)
	p.kept = p.kept[:min(len(p.kept), keptProofs)]
	return g, nil
}

// Proof returns what the log has to prove a visible event by: nil when its commit group is not signed,
// ErrNotFound when there is no such event. It reads the whole group.
func (j *Journal) Proof(seq uint64) (*codec.Proof, error) {
	g, err := j.signedGroupOf(seq)
	if g == nil || err != nil {
		return nil, err
	}
	return g.proof(seq), nil
}

// signedGroupOf reads the whole group of a visible event for its hashes and its signature, and returns
// nil when it has none.
func (j *Journal) signedGroupOf(seq uint64) (*signedGroup, error) {
	s, x, err := j.segmentOf(seq)
	if err != nil {
		return nil, err
	}
	off, err := x.offset(int(seq - s.first))
	if err != nil {
		return nil, j.readable(err)
	}
	t := tapes.Get().(*tape)
	defer t.release()
	t.load(s)
	c, signature, err := t.groupEnd(off, seq)
	if err != nil {
		return nil, j.readable(err)
	}
	if signature == nil {
		return nil, nil
	}
	g := &signedGroup{signer: string(signature[:signerSize]), first: c.first, sig: [sigSize]byte(signature[signerSize:])}
	if off, err = x.offset(int(g.first - s.first)); err != nil {
		return nil, j.readable(err)
	}
	t.load(s)
	hashes := make([]causal.Hash, 0, min(c.count, groupEvents))
	for len(hashes) < int(c.count) {
		body, next, err := t.event(off, g.first+uint64(len(hashes)))
		if err != nil {
			return nil, j.readable(err)
		}
		if body == nil {
			return nil, s.damage(off, g.first+uint64(len(hashes)), "group ends before its last event")
		}
		hashes = append(hashes, causal.HashEnvelope(body))
		off = next
	}
	g.tree = causal.NewTree(hashes)
	return g, nil
}

// groupEnd reads on from the event seq, whose frame is at off, to the commit frame of its group. The body of the group's
// signature frame is nil when there is none.
func (t *tape) groupEnd(off int64, seq uint64) (c commit, signature []byte, err error) {
	for at := seq; c.count == 0; {
		f, body, next, err := t.frame(off, at)
		switch {
		case err != nil:
			return c, nil, err
		case f.typ == frameEvent:
			at++
		case f.typ == frameSign:
			signature = bytes.Clone(body)
		case f.typ == frameCommit:
			c = parseCommit(body)
		}
		off = next
	}
	if seq < c.first || seq-c.first >= uint64(c.count) || c.first < t.s.first {
		return c, nil, t.s.damage(off, seq, "commit of the events %d and %d behind it", c.first, c.count-1)
	}
	return c, signature, nil
}
