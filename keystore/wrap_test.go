package keystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// cheap is the least that a passphrase may cost.
var cheap = Cost{Memory: 8, Time: 1, Threads: 1}

// The secrets hold no word that a message could hold.
const wrapText = "Xq7#vB9!zKp2~Wd5"

var (
	wrapKEK     = sha256.Sum256([]byte("key-encryption key"))
	wrapMKey    = sha256.Sum256([]byte("master key"))
	wrapContext = []byte("what the keyset is of")
)

func passphrase(t testing.TB, text string, cost Cost) *Passphrase {
	t.Helper()
	p, err := NewPassphrase([]byte(text), cost)
	must(t, err)
	return p
}

func rawKeyWrapper(t testing.TB, kek [32]byte) *RawKey {
	t.Helper()
	k, err := NewRawKey(&kek)
	must(t, err)
	return k
}

// wrappers is one of each method, and one more with another key.
func wrappers(t testing.TB) map[string][2]Wrapper {
	other := wrapKEK
	other[31] ^= 1
	return map[string][2]Wrapper{
		PassphraseMethod: {passphrase(t, wrapText, cheap), passphrase(t, wrapText+" ", cheap)},
		RawKeyMethod:     {rawKeyWrapper(t, wrapKEK), rawKeyWrapper(t, other)},
	}
}

func TestWrappedKeyOpensWithTheSameKeyAndContextOnly(t *testing.T) {
	for method, w := range wrappers(t) {
		t.Run(method, func(t *testing.T) {
			if w[0].Method() != method {
				t.Fatalf("method is %q", w[0].Method())
			}
			for _, context := range [][]byte{wrapContext, nil} {
				wrapped, err := w[0].Wrap(t.Context(), &wrapMKey, context)
				must(t, err)
				if bytes.Contains(wrapped, wrapMKey[:]) {
					t.Fatal("the key is in what was wrapped")
				}
				key, err := w[0].Unwrap(t.Context(), wrapped, context)
				must(t, err)
				if *key != wrapMKey {
					t.Fatalf("unwrapped to %x", *key)
				}
				_, err = w[0].Unwrap(t.Context(), wrapped, []byte("another"))
				wantErr(t, err, ErrWrongKey)
				_, err = w[1].Unwrap(t.Context(), wrapped, context)
				wantErr(t, err, ErrWrongKey)
				if errors.Is(err, ErrMalformed) {
					t.Fatalf("another key is said to be malformed: %v", err)
				}
			}
		})
	}
}

func TestTwoWrapsOfOneKeyDiffer(t *testing.T) {
	for method, w := range wrappers(t) {
		a, err := w[0].Wrap(t.Context(), &wrapMKey, wrapContext)
		must(t, err)
		b, err := w[0].Wrap(t.Context(), &wrapMKey, wrapContext)
		must(t, err)
		if bytes.Equal(a, b) {
			t.Fatalf("%s wraps one key to the same bytes twice", method)
		}
	}
}

func TestWhateverIsChangedDoesNotUnwrap(t *testing.T) {
	for method, w := range wrappers(t) {
		t.Run(method, func(t *testing.T) {
			wrapped, err := w[0].Wrap(t.Context(), &wrapMKey, wrapContext)
			must(t, err)
			for i := range wrapped {
				changed := bytes.Clone(wrapped)
				changed[i] ^= 1 // no field of the cost becomes expensive
				_, err = w[0].Unwrap(t.Context(), changed, wrapContext)
				wantErr(t, err, ErrWrongKey)
				_, err = w[0].Unwrap(t.Context(), wrapped[:i], wrapContext)
				wantErr(t, err, ErrMalformed)
				wantErr(t, err, ErrWrongKey)
			}
			_, err = w[0].Unwrap(t.Context(), append(wrapped, 0), wrapContext)
			wantErr(t, err, ErrMalformed)
		})
	}
}

// What one method sealed does not open with another one that happens to have the
// same key and head.
func TestMethodAndHeadAreAuthenticated(t *testing.T) {
	nonce := newWrapNonce()
	out := sealMaster(&wrapKEK, "one", []byte{1}, nonce, &wrapMKey, wrapContext)
	key, err := openMaster(&wrapKEK, "one", out[:1], out[1:], wrapContext)
	must(t, err)
	if *key != wrapMKey {
		t.Fatal("another key came back")
	}
	_, err = openMaster(&wrapKEK, "two", out[:1], out[1:], wrapContext)
	wantErr(t, err, ErrWrongKey)
	_, err = openMaster(&wrapKEK, "one", []byte{2}, out[1:], wrapContext)
	wantErr(t, err, ErrWrongKey)
}

func TestWipedWrapperAndEndedContextRefuse(t *testing.T) {
	for method, w := range wrappers(t) {
		t.Run(method, func(t *testing.T) {
			wrapped, err := w[0].Wrap(t.Context(), &wrapMKey, wrapContext)
			must(t, err)
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = w[0].Wrap(ended, &wrapMKey, wrapContext)
			wantErr(t, err, context.Canceled)
			_, err = w[0].Unwrap(ended, wrapped, wrapContext)
			wantErr(t, err, context.Canceled)

			var h *hidden
			switch w := w[0].(type) {
			case *Passphrase:
				h = w.secret
			case *RawKey:
				h = w.secret
			}
			secret := *h.bytes
			w[0].(interface{ Wipe() }).Wipe()
			if !bytes.Equal(secret, make([]byte, len(secret))) {
				t.Fatal("the secret is still in memory")
			}
			_, err = w[0].Wrap(t.Context(), &wrapMKey, wrapContext)
			wantErr(t, err, ErrWrapper)
			_, err = w[0].Unwrap(t.Context(), wrapped, wrapContext)
			wantErr(t, err, ErrWrapper)
			if errors.Is(err, ErrWrongKey) {
				t.Fatalf("wiped is said to be the wrong key: %v", err)
			}
		})
	}
}

func TestWrapperKeepsItsOwnCopyOfTheSecret(t *testing.T) {
	secret := []byte(wrapText)
	p, err := NewPassphrase(secret, cheap)
	must(t, err)
	kek := wrapKEK
	k, err := NewRawKey(&kek)
	must(t, err)
	clear(secret)
	clear(kek[:])
	for method, w := range map[string]Wrapper{PassphraseMethod: p, RawKeyMethod: k} {
		wrapped, err := w.Wrap(t.Context(), &wrapMKey, nil)
		must(t, err)
		key, err := wrappers(t)[method][0].Unwrap(t.Context(), wrapped, nil)
		must(t, err)
		if *key != wrapMKey {
			t.Fatal("another key came back")
		}
	}
}

// fixedWrapped is what each method makes of fixed salts and nonces.
func fixedWrapped(t testing.TB) map[string][]byte {
	h := passphraseHead{cost: Cost{Memory: 256, Time: 2, Threads: 4}, salt: [16]byte([]byte("sixteen of salt."))}
	nonce := [NonceSize]byte([]byte("twenty-four of a nonce.."))
	p := passphrase(t, wrapText, cheap)
	a, err := p.wrap(t.Context(), h, &nonce, &wrapMKey, wrapContext)
	must(t, err)
	b, err := rawKeyWrapper(t, wrapKEK).wrap(t.Context(), &nonce, &wrapMKey, wrapContext)
	must(t, err)
	return map[string][]byte{PassphraseMethod: a, RawKeyMethod: b}
}

func TestWrappedFormIsTheGoldenBytes(t *testing.T) {
	for method, got := range fixedWrapped(t) {
		t.Run(method, func(t *testing.T) {
			file := filepath.Join("testdata", method+".wrapped")
			if *update {
				must(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Fatalf("wrapped to\n%x, want\n%x", got, want)
			}
			key, err := wrappers(t)[method][0].Unwrap(t.Context(), want, wrapContext)
			must(t, err)
			if *key != wrapMKey {
				t.Fatalf("unwrapped to %x", *key)
			}
		})
	}
}

// The layouts as documented, written down a second time.
func TestWrappedFormAsDocumented(t *testing.T) {
	wrapped := fixedWrapped(t)
	head := "01 00000100 00000002 04" + hex.EncodeToString([]byte("sixteen of salt.")) + hex.EncodeToString([]byte("twenty-four of a nonce.."))
	if got := wrapped[PassphraseMethod]; !bytes.HasPrefix(got, unhex(t, head)) || len(got) != 98 {
		t.Fatalf("%d bytes: %x", len(got), got)
	}
	head = "01" + hex.EncodeToString([]byte("twenty-four of a nonce.."))
	if got := wrapped[RawKeyMethod]; !bytes.HasPrefix(got, unhex(t, head)) || len(got) != 73 {
		t.Fatalf("%d bytes: %x", len(got), got)
	}
}

func TestPassphraseCostsWhatTheRFCRecommends(t *testing.T) {
	got := passphrase(t, "x", Cost{}).cost
	if want := (Cost{Memory: 64 << 10, Time: 3, Threads: 4}); got != want {
		t.Fatalf("default cost is %+v, want %+v", got, want)
	}
	if testing.Short() {
		return
	}
	w := passphrase(t, wrapText, Cost{})
	wrapped, err := w.Wrap(t.Context(), &wrapMKey, wrapContext)
	must(t, err)
	key, err := passphrase(t, wrapText, cheap).Unwrap(t.Context(), wrapped, wrapContext) // the cost is in it
	must(t, err)
	if *key != wrapMKey {
		t.Fatal("another key came back")
	}
}

func TestUnusablePassphrasesAndKeysAreRefused(t *testing.T) {
	for name, make := range map[string]func() error{
		"empty passphrase": func() error { _, err := NewPassphrase(nil, cheap); return err },
		"long passphrase":  func() error { _, err := NewPassphrase(bytes.Repeat([]byte("x"), 4097), cheap); return err },
		"much memory":      func() error { _, err := NewPassphrase([]byte("x"), Cost{Memory: 1<<20 + 1}); return err },
		"little memory":    func() error { _, err := NewPassphrase([]byte("x"), Cost{Memory: 31}); return err },
		"much time":        func() error { _, err := NewPassphrase([]byte("x"), Cost{Time: 17}); return err },
		"many threads":     func() error { _, err := NewPassphrase([]byte("x"), Cost{Threads: 17}); return err },
		"no key":           func() error { _, err := NewRawKey(new([32]byte)); return err },
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, make(), ErrWrapper) })
	}
	passphrase(t, strings.Repeat("x", 4096), cheap)
}

// An expensive header would take 1 GiB or more and a second or more if it were
// believed, and nearly nothing when it is not.
func TestHeaderThatAsksForTooMuchAllocatesNothing(t *testing.T) {
	p := passphrase(t, wrapText, cheap)
	good, err := p.Wrap(t.Context(), &wrapMKey, wrapContext)
	must(t, err)
	for name, cost := range map[string]Cost{
		"memory":    {Memory: 1<<20 + 1, Time: 1, Threads: 1},
		"all of it": {Memory: 1<<32 - 1, Time: 1<<32 - 1, Threads: 255},
		"time":      {Memory: 8, Time: 17, Threads: 1},
		"no time":   {Memory: 8, Time: 0, Threads: 1},
		"threads":   {Memory: 1 << 20, Time: 1, Threads: 17},
		"no thread": {Memory: 8, Time: 1, Threads: 0},
		"no memory": {Memory: 7, Time: 1, Threads: 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := passphraseHead{cost: cost}
			hostile := append(h.append(nil), good[passphraseHeadSize:]...)
			_, err := p.Unwrap(t.Context(), hostile, wrapContext)
			wantErr(t, err, ErrMalformed)
			wantErr(t, err, ErrWrongKey)
		})
	}
	h := passphraseHead{cost: Cost{Memory: 1<<20 + 1, Time: 1, Threads: 1}}
	hostile := append(h.append(nil), good[passphraseHeadSize:]...)
	res := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			_, _ = p.Unwrap(t.Context(), hostile, wrapContext)
		}
	})
	if got := res.AllocedBytesPerOp(); got > 4096 {
		t.Fatalf("refusing allocates %d bytes", got)
	}
}

// broken does what its fields say, and otherwise what its Wrapper does.
type broken struct {
	Wrapper
	method  string
	wrapped []byte
	key     *[32]byte
	err     error
}

func (b *broken) Method() string { return b.method }

func (b *broken) Wrap(ctx context.Context, key *[32]byte, context []byte) ([]byte, error) {
	if b.wrapped != nil {
		return b.wrapped, nil
	}
	return b.Wrapper.Wrap(ctx, key, context)
}

func (b *broken) Unwrap(ctx context.Context, wrapped, context []byte) (*[32]byte, error) {
	if b.key != nil || b.err != nil {
		return b.key, b.err
	}
	return b.Wrapper.Unwrap(ctx, wrapped, context)
}

func TestMasterKeyIsNotWrappedByWhatCannotUnwrapIt(t *testing.T) {
	good := rawKeyWrapper(t, wrapKEK)
	denied := errors.New("may not decrypt")
	for name, c := range map[string]struct {
		w    broken
		want error
	}{
		"no method":      {broken{method: ""}, ErrWrapper},
		"long method":    {broken{method: strings.Repeat("a", 33)}, ErrWrapper},
		"other letters":  {broken{method: "Raw key"}, ErrWrapper},
		"nothing":        {broken{method: "x", wrapped: []byte{}}, ErrWrapper},
		"too much":       {broken{method: "x", wrapped: make([]byte, MaxWrapped+1)}, ErrWrapper},
		"another key":    {broken{method: "x", key: new([32]byte)}, ErrWrapper},
		"cannot decrypt": {broken{method: "x", err: denied}, denied},
		"lost":           {broken{method: "x", wrapped: make([]byte, MaxWrapped)}, ErrWrongKey},
	} {
		t.Run(name, func(t *testing.T) {
			c.w.Wrapper = good
			wrapped, err := wrapMaster(t.Context(), &c.w, &wrapMKey, wrapContext)
			wantErr(t, err, c.want)
			if wrapped != nil {
				t.Fatal("an error came with bytes")
			}
		})
	}
}

func TestMasterKeyUnwrapsByTheSameMethodOnly(t *testing.T) {
	w := rawKeyWrapper(t, wrapKEK)
	wrapped, err := wrapMaster(t.Context(), w, &wrapMKey, wrapContext)
	must(t, err)
	key, err := unwrapMaster(t.Context(), w, RawKeyMethod, wrapped, wrapContext)
	must(t, err)
	if *key != wrapMKey {
		t.Fatal("another key came back")
	}
	for _, c := range []struct {
		w      Wrapper
		method string
		given  string
		says   string
	}{
		{nil, RawKeyMethod, "", "wrapped by raw-key, and no key-encryption key was given"},
		{w, PassphraseMethod, RawKeyMethod, "wrapped by passphrase, and the key-encryption key that was given is for raw-key"},
		{w, "", RawKeyMethod, "not wrapped, and a key-encryption key for raw-key was given"},
	} {
		_, err := unwrapMaster(t.Context(), c.w, c.method, wrapped, wrapContext)
		wantErr(t, err, ErrWrapped)
		var e *WrappedError
		if !errors.As(err, &e) || e.Method != c.method || e.Given != c.given || !strings.Contains(err.Error(), c.says) {
			t.Fatalf("error is %v, want one that says %q", err, c.says)
		}
	}
}

func TestNothingPrintsAKeyEncryptionKey(t *testing.T) {
	type holder struct {
		Exported   Wrapper
		unexported Wrapper
		list       []Wrapper
	}
	secrets := map[string][]byte{PassphraseMethod: []byte(wrapText), RawKeyMethod: wrapKEK[:], "master": wrapMKey[:]}
	for method, w := range wrappers(t) {
		t.Run(method, func(t *testing.T) {
			h := holder{w[0], w[0], w[:]}
			values := []any{w[0], &w[0], w[:], map[string]Wrapper{"w": w[0]}, h, &h}
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%t", "%p", "%c", "%U"} {
				for _, v := range values {
					fmt.Fprintf(&out, verb+"\n", v)
				}
				// Not even of a copy, on which no method is called.
				fmt.Fprintf(&out, verb+"\n", reflect.ValueOf(w[0]).Elem())
			}
			for _, v := range []any{w[0], h, w[:]} {
				b, err := json.Marshal(v)
				must(t, err)
				out.Write(b)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "w", w[0], "holder", h)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "w", w[0], "holder", h)
			wrapped, err := w[0].Wrap(t.Context(), &wrapMKey, wrapContext)
			must(t, err)
			_, err = w[1].Unwrap(t.Context(), wrapped, wrapContext)
			fmt.Fprintln(&out, err)
			_, err = w[0].Unwrap(t.Context(), nil, wrapContext)
			fmt.Fprintln(&out, err)
			w[0].(interface{ Wipe() }).Wipe()
			_, err = w[0].Wrap(t.Context(), &wrapMKey, nil)
			fmt.Fprintln(&out, err, w[0])
			if !strings.Contains(out.String(), method) {
				t.Fatal("the method is not shown")
			}
			for _, secret := range secrets {
				wantNoPartOf(t, secret, out.String())
			}
		})
	}
}

// wantNoPartOf fails when 4 bytes of a secret are in the text, in a form that
// something prints bytes in.
func wantNoPartOf(t *testing.T, secret []byte, printed string) {
	t.Helper()
	for i := range secret[:len(secret)-4] {
		part := secret[i : i+4]
		for _, form := range []string{
			string(part), fmt.Sprintf("%x", part), fmt.Sprintf("%X", part), fmt.Sprintf("% x", part),
			strings.Trim(fmt.Sprint(part), "[]"), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"),
		} {
			if strings.Contains(printed, form) {
				t.Fatalf("4 bytes of the secret are printed as %q", form)
			}
		}
	}
}
