package keystore

import (
	"bytes"
	"errors"
	"testing"
)

// Whatever bytes stand where a wrapped key should, Unwrap refuses them as wrong or
// gives back what was wrapped.
func FuzzUnwrap(f *testing.F) {
	p := passphrase(f, wrapText, cheap)
	k := rawKeyWrapper(f, wrapKEK)
	good := fixedWrapped(f) // the same in each process that fuzzes
	for _, wrapped := range good {
		f.Add(wrapped)
		f.Add(wrapped[:len(wrapped)-1])
	}
	expensive := passphraseHead{cost: Cost{Memory: 1<<32 - 1, Time: 1<<32 - 1, Threads: 255}}
	f.Add(append(expensive.append(nil), good[PassphraseMethod][passphraseHeadSize:]...))
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		for _, w := range []Wrapper{p, k} {
			h, err := parsePassphraseHead(wrapped)
			if err == nil && uint64(h.cost.Memory)*uint64(h.cost.Time) > 1<<10 {
				continue // allowed, and too slow for here
			}
			key, err := w.Unwrap(t.Context(), wrapped, wrapContext)
			switch {
			case err == nil && *key != wrapMKey:
				t.Fatalf("%s gives another key", w)
			case err == nil && !bytes.Equal(wrapped, good[w.Method()]):
				t.Fatalf("%s opens what it did not wrap", w)
			case err != nil && (!errors.Is(err, ErrWrongKey) || key != nil):
				t.Fatalf("%s: error is %v with key %v", w, err, key != nil)
			}
		}
	})
}
