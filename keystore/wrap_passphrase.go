package keystore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"
)

// PassphraseMethod is what [Passphrase.Method] answers.
const PassphraseMethod = "passphrase"

// Limits of a passphrase in bytes, and of what one may cost. A wrapped key that
// asks for more is not opened: whoever can write the keyset must not be able to
// make its reader allocate what he likes.
const (
	maxPassphrase = 4096

	maxMemory  = 1 << 20 // KiB
	maxTime    = 16
	maxThreads = 16
)

// Cost is what Argon2id costs. A field that is zero has its default; all of them
// together are the second recommended option of RFC 9106, section 4.
type Cost struct {
	Memory  uint32 // in KiB, 8 for each thread to 1 GiB; 64 MiB by default
	Time    uint32 // passes over the memory, 1 to 16; 3 by default
	Threads uint8  // 1 to 16; 4 by default
}

func (c Cost) withDefaults() Cost {
	if c.Memory == 0 {
		c.Memory = 64 << 10
	}
	if c.Time == 0 {
		c.Time = 3
	}
	if c.Threads == 0 {
		c.Threads = 4
	}
	return c
}

// check says what is wrong with a cost, or nothing.
func (c Cost) check() string {
	switch {
	case c.Threads < 1 || c.Threads > maxThreads:
		return fmt.Sprintf("%d threads, allowed are 1 to %d", c.Threads, maxThreads)
	case c.Time < 1 || c.Time > maxTime:
		return fmt.Sprintf("%d passes, allowed are 1 to %d", c.Time, maxTime)
	case c.Memory < 8*uint32(c.Threads) || c.Memory > maxMemory:
		return fmt.Sprintf("%d KiB of memory, allowed are %d to %d", c.Memory, 8*uint32(c.Threads), maxMemory)
	}
	return ""
}

// Passphrase wraps under a key that is derived from a passphrase with Argon2id
// (RFC 9106) and a salt that is new for each Wrap. What it wraps is, with integers
// big-endian and without padding:
//
//	 1  form     1
//	 4  memory   in KiB
//	 4  time     passes over the memory
//	 1  threads
//	16  salt
//	24  nonce
//	48  the master key, sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03)
//	    under the 32-byte Argon2id tag of version 0x13, without secret and data
//
// The associated data is "passphrase", a zero byte, the fields before the nonce,
// and the context. The cost is read from there, so it can be raised without
// keeping wrapped keys from opening.
//
// However it is printed, logged or marshalled, it shows its method only. It must
// not be copied.
type Passphrase struct {
	cost   Cost
	secret *hidden
}

// NewPassphrase takes a copy of the passphrase, 1 to 4096 bytes, which are used as
// they are: the same text in another Unicode form is another passphrase. The cost
// is for Wrap. The error is ErrWrapper.
func NewPassphrase(passphrase []byte, cost Cost) (*Passphrase, error) {
	cost = cost.withDefaults()
	if reason := cost.check(); reason != "" {
		return nil, fmt.Errorf("keystore: %w: a passphrase with %s", ErrWrapper, reason)
	}
	if err := checkPassphrase(passphrase); err != nil {
		return nil, fmt.Errorf("keystore: %w: %w", ErrWrapper, err)
	}
	return &Passphrase{cost, hide(passphrase)}, nil
}

func checkPassphrase(passphrase []byte) error {
	if len(passphrase) == 0 {
		return errors.New("the passphrase is empty")
	}
	if len(passphrase) > maxPassphrase {
		return fmt.Errorf("the passphrase is longer than %d bytes", maxPassphrase)
	}
	return nil
}

// Method is PassphraseMethod.
func (p *Passphrase) Method() string { return PassphraseMethod }

// passphraseHead is what the fields before the nonce say.
type passphraseHead struct {
	cost Cost
	salt [16]byte
}

const (
	passphraseForm     = 1
	passphraseHeadSize = 1 + 4 + 4 + 1 + 16
)

func (h *passphraseHead) append(b []byte) []byte {
	b = append(b, passphraseForm)
	b = binary.BigEndian.AppendUint32(b, h.cost.Memory)
	b = binary.BigEndian.AppendUint32(b, h.cost.Time)
	b = append(b, h.cost.Threads)
	return append(b, h.salt[:]...)
}

// parsePassphraseHead checks everything that can be checked before any work is
// done or memory taken.
func parsePassphraseHead(wrapped []byte) (h passphraseHead, err error) {
	if len(wrapped) != passphraseHeadSize+wrappedSize {
		return h, malformed(PassphraseMethod, "%d bytes, want %d", len(wrapped), passphraseHeadSize+wrappedSize)
	}
	if wrapped[0] != passphraseForm {
		return h, malformed(PassphraseMethod, "unknown form %d", wrapped[0])
	}
	h.cost.Memory = binary.BigEndian.Uint32(wrapped[1:])
	h.cost.Time = binary.BigEndian.Uint32(wrapped[5:])
	h.cost.Threads = wrapped[9]
	copy(h.salt[:], wrapped[10:])
	if reason := h.cost.check(); reason != "" {
		return h, malformed(PassphraseMethod, "it asks for %s", reason)
	}
	return h, nil
}

// Wrap implements [Wrapper]. It cannot be stopped once Argon2id runs.
func (p *Passphrase) Wrap(ctx context.Context, key *[32]byte, context []byte) ([]byte, error) {
	h := passphraseHead{cost: p.cost}
	rand.Read(h.salt[:]) // never fails: the process would end
	return p.wrap(ctx, h, newWrapNonce(), key, context)
}

func (p *Passphrase) wrap(ctx context.Context, h passphraseHead, nonce *[NonceSize]byte, key *[32]byte, context []byte) ([]byte, error) {
	kek, err := p.derive(ctx, "wrap", h)
	if err != nil {
		return nil, err
	}
	defer clear(kek[:])
	head := h.append(make([]byte, 0, passphraseHeadSize+wrappedSize))
	return sealMaster(kek, PassphraseMethod, head, nonce, key, context), nil
}

// Unwrap implements [Wrapper]. A wrapped key that asks Argon2id for more than
// 1 GiB, 16 passes or 16 threads is ErrMalformed before anything is allocated.
func (p *Passphrase) Unwrap(ctx context.Context, wrapped, context []byte) (*[32]byte, error) {
	h, err := parsePassphraseHead(wrapped)
	if err != nil {
		return nil, err
	}
	kek, err := p.derive(ctx, "unwrap", h)
	if err != nil {
		return nil, err
	}
	defer clear(kek[:])
	return openMaster(kek, PassphraseMethod, wrapped[:passphraseHeadSize], wrapped[passphraseHeadSize:], context)
}

// derive does not wipe the memory that Argon2id worked in: it is the library's.
func (p *Passphrase) derive(ctx context.Context, op string, h passphraseHead) (*[32]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("keystore: %s by %s: %w", op, PassphraseMethod, err)
	}
	if p.secret.wiped() {
		return nil, fmt.Errorf("keystore: %s by %s: %w: it was wiped", op, PassphraseMethod, ErrWrapper)
	}
	kek := argon2.IDKey(*p.secret.bytes, h.salt[:], h.cost.Time, h.cost.Memory, h.cost.Threads, KeySize)
	return (*[32]byte)(kek), nil
}

// Wipe overwrites the passphrase. It must not run while Wrap or Unwrap does, and
// both fail with ErrWrapper afterwards.
func (p *Passphrase) Wipe() { p.secret.wipe() }

// String is the method.
func (p *Passphrase) String() string { return PassphraseMethod }

// Format writes String for every verb and flag.
func (p *Passphrase) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// MarshalText is String.
func (p *Passphrase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
