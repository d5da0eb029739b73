package keystore

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	"batpak/causal"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	must(t, err)
	return b
}

// Appendix A.3.1 of draft-irtf-cfrg-xchacha-03.
func TestSealIsXChaCha20Poly1305AsPublished(t *testing.T) {
	secret := [KeySize]byte(unhex(t, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"))
	nonce := [NonceSize]byte(unhex(t, "404142434445464748494a4b4c4d4e4f5051525354555657"))
	aad := unhex(t, "50515253c0c1c2c3c4c5c6c7")
	plaintext := []byte("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
		"sunscreen would be it.")
	want := unhex(t, `
		bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb
		731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452
		2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9
		21f9664c97637da9768812f615c68b13b52e
		c0875924c1c7987947deafd8780acf49`)

	k := soloKey(t, causal.KeyID{1}, &secret)
	got, err := k.Seal(nil, plaintext, aad, &nonce)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Fatalf("sealed to\n%x, want\n%x", got, want)
	}
	if len(got) != len(plaintext)+Overhead {
		t.Fatalf("%d bytes more than the plaintext, want %d", len(got)-len(plaintext), Overhead)
	}
	back, err := k.Open(nil, want, aad, &nonce)
	must(t, err)
	if !bytes.Equal(back, plaintext) {
		t.Fatalf("opened to %q", back)
	}
}

func TestWhateverIsChangedDoesNotOpen(t *testing.T) {
	k := fixedKey(t, 1)
	c := seal(t, k, "some plaintext")
	open := func(ciphertext, aad []byte, nonce [NonceSize]byte) error {
		_, err := k.Open(nil, ciphertext, aad, &nonce)
		return err
	}
	must(t, open(c.ciphertext, c.aad, c.nonce)) // the control
	for i := range c.ciphertext {
		changed := bytes.Clone(c.ciphertext)
		changed[i] ^= 0x40
		wantErr(t, open(changed, c.aad, c.nonce), ErrTampered)
		wantErr(t, open(c.ciphertext[:i], c.aad, c.nonce), ErrTampered)
	}
	wantErr(t, open(append(bytes.Clone(c.ciphertext), 0), c.aad, c.nonce), ErrTampered)
	wantErr(t, open(c.ciphertext, []byte("another header"), c.nonce), ErrTampered)
	wantErr(t, open(c.ciphertext, nil, c.nonce), ErrTampered)
	changed := c.nonce
	changed[NonceSize-1]++
	wantErr(t, open(c.ciphertext, c.aad, changed), ErrTampered)
	_, err := fixedKey(t, 2).Open(nil, c.ciphertext, c.aad, &c.nonce)
	wantErr(t, err, ErrTampered)
}

func TestSealAndOpenAppendAndWorkInPlace(t *testing.T) {
	k := fixedKey(t, 1)
	nonce := k.NewNonce()
	out, err := k.Seal([]byte("before"), []byte("text"), nil, &nonce)
	must(t, err)
	if !bytes.HasPrefix(out, []byte("before")) || len(out) != len("before")+len("text")+Overhead {
		t.Fatalf("sealed to %q", out)
	}
	back, err := k.Open([]byte("kept:"), out[len("before"):], nil, &nonce)
	must(t, err)
	if string(back) != "kept:text" {
		t.Fatalf("opened to %q", back)
	}

	buf := append(make([]byte, 0, 64), "in place"...)
	ct, err := k.Seal(buf[:0], buf, nil, &nonce)
	must(t, err)
	back, err = k.Open(ct[:0], ct, nil, &nonce)
	must(t, err)
	if string(back) != "in place" || &back[0] != &buf[0] {
		t.Fatalf("opened to %q, elsewhere %v", back, &back[0] != &buf[0])
	}

	ct, err = k.Seal(nil, nil, nil, &nonce)
	must(t, err)
	back, err = k.Open(nil, ct, nil, &nonce)
	must(t, err)
	if back == nil || len(back) != 0 {
		t.Fatalf("an empty payload opened to %#v", back)
	}
}

func TestNoncesDiffer(t *testing.T) {
	k := fixedKey(t, 1)
	seen := make(map[[NonceSize]byte]bool)
	for range 1000 {
		seen[k.NewNonce()] = true
	}
	if len(seen) != 1000 {
		t.Fatalf("%d nonces of 1000 are different", len(seen))
	}
}

func TestNothingPrintsKeyBytes(t *testing.T) {
	s := newStore(t, newDisk(t), Subject)
	k := mintKey(t, s, subject("a"))
	secret := *secretOf(k)
	type holder struct {
		Exported   *Key
		unexported *Key
		store      *Store
	}
	h := holder{k, k, s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%t", "%p", "%c", "%U"} {
		for _, v := range []any{k, &k, []*Key{k}, map[string]*Key{"k": k}, h, &h, s, []any{s}, k.aead == nil} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		// Not even of a copy, on which no method of Key is called.
		fmt.Fprintf(&out, verb+"\n", reflect.ValueOf(k).Elem())
	}
	for _, v := range []any{k, h, []*Key{k}, s} {
		b, err := json.Marshal(v)
		must(t, err)
		out.Write(b)
	}
	text, err := k.MarshalText()
	must(t, err)
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "store", s, "holder", h)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "store", s, "holder", h)
	_, err = s.Destroy(subject("a"))
	must(t, err)
	_, err = k.Seal(nil, nil, nil, new([NonceSize]byte))
	fmt.Fprintln(&out, err, k)

	printed := out.String()
	if !strings.Contains(printed, k.ID().String()) {
		t.Fatal("the id is not shown")
	}
	for i := range secret[:KeySize-4] {
		part := secret[i : i+4]
		for _, form := range []string{
			string(part), fmt.Sprintf("%x", part), fmt.Sprintf("%X", part), fmt.Sprintf("% x", part),
			strings.Trim(fmt.Sprint(part), "[]"), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"),
		} {
			if strings.Contains(printed, form) {
				t.Fatalf("4 bytes of the key are printed as %q", form)
			}
		}
	}
}

func TestDestroyedKeyIsWipedAndRefusesItsHolders(t *testing.T) {
	s := newStore(t, newDisk(t), Subject)
	k := mintKey(t, s, subject("a"))
	c := seal(t, k, "text")
	secret, aead := secretOf(k), k.aead
	_, err := s.Destroy(subject("a"))
	must(t, err)
	if *secret != [KeySize]byte{} {
		t.Fatal("the key's bytes are still in memory")
	}
	if !reflect.ValueOf(aead).Elem().IsZero() {
		t.Fatal("the cipher's copy of the key is still in memory")
	}
	_, err = k.Open(nil, c.ciphertext, c.aad, &c.nonce)
	wantErr(t, err, ErrShredded)
	_, err = k.Seal(nil, c.plaintext, c.aad, &c.nonce)
	wantErr(t, err, ErrShredded)
}

// A key that others have pushed out of memory leaves nothing there, and is as good as before: it is read again.
func TestKeysThatAreDroppedAreWipedAndReadAgain(t *testing.T) {
	s := newStore(t, newDisk(t), Subject)
	held := mintKey(t, s, subject("held"))
	c := seal(t, held, "text")
	erased := mintKey(t, s, subject("erased"))
	gone := seal(t, erased, "text")
	_, err := s.Destroy(subject("renewed"))
	wantErr(t, err, ErrKeyMissing)
	mintKey(t, s, subject("renewed"))
	_, err = s.Destroy(subject("renewed"))
	must(t, err)
	next, err := s.Successor(subject("renewed"))
	must(t, err)
	must(t, s.Flush())
	wiped := []cipher.AEAD{held.aead, erased.aead, next.aead}
	for i := range 3 * keptKeys {
		mintKey(t, s, subject(fmt.Sprint(i)))
		if i%1000 == 0 {
			must(t, s.Flush())
		}
	}
	must(t, s.Flush())
	for i, aead := range wiped {
		if !reflect.ValueOf(aead).Elem().IsZero() {
			t.Errorf("key %d is still in memory", i)
		}
	}
	got, err := held.Open(nil, c.ciphertext, c.aad, &c.nonce)
	must(t, err)
	if string(got) != "text" {
		t.Errorf("opened %q", got)
	}
	seal(t, held, "more").wantOpens(t, s)
	sealed := seal(t, next, "next") // under its own bytes, and not under zeros
	s.Used(next)
	sealed.wantOpens(t, s)

	_, err = s.Destroy(subject("erased"))
	must(t, err)
	_, err = erased.Open(nil, gone.ciphertext, gone.aad, &gone.nonce)
	wantErr(t, err, ErrShredded)
	must(t, s.Close())
	_, err = held.Seal(nil, nil, nil, new([NonceSize]byte))
	wantErr(t, err, os.ErrClosed)
}
