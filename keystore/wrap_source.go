package keystore

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Source makes a Wrapper from what stands behind the colon in the text that
// [ParseWrapper] reads.
type Source func(rest string) (Wrapper, error)

// ParseWrapper makes a Wrapper from a text that says where the key-encryption key
// is, and never holds it:
//
//	passphrase-env:NAME   a passphrase in an environment variable
//	passphrase-file:PATH  a passphrase in a file
//	key-env:NAME          a key in an environment variable, as hex or base64
//	key-file:PATH         a key in a file: 32 bytes, or hex or base64
//
// and what else the caller knows, by the name before the colon. A passphrase
// costs the default [Cost].
//
// One newline at the end of a file, or of what a variable holds, is not part of a
// passphrase or of a text. Which form a key has is told by its length: 64
// characters are hex, 44 are base64 and 43 base64 without padding, with either
// alphabet of RFC 4648, and 32 bytes are the key. 32 bytes that are all printable
// are refused: they are a passphrase, or the hex of half a key.
//
// On Unix a file that its group or others may read, write or execute is refused.
// A variable can be read by what else runs as the same user, and stays there.
//
// The error is ErrWrapper.
func ParseWrapper(text string, others map[string]Source) (Wrapper, error) {
	sources := maps.Clone(others)
	if sources == nil {
		sources = make(map[string]Source)
	}
	maps.Copy(sources, map[string]Source{
		"passphrase-env":  func(name string) (Wrapper, error) { return fromEnv(name, passphraseOf) },
		"passphrase-file": func(path string) (Wrapper, error) { return fromFile(path, passphraseOf) },
		"key-env":         func(name string) (Wrapper, error) { return fromEnv(name, keyOfText) },
		"key-file":        func(path string) (Wrapper, error) { return fromFile(path, keyOf) },
	})
	name, rest, _ := strings.Cut(text, ":")
	source := sources[name]
	if source == nil || rest == "" {
		// The text is not shown: whoever errs here may have put the secret in it.
		return nil, fmt.Errorf("keystore: %w: want one of %s, a colon, and where it is",
			ErrWrapper, strings.Join(slices.Sorted(maps.Keys(sources)), ", "))
	}
	w, err := source(rest)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w: %s: %w", ErrWrapper, name, err)
	}
	return w, nil
}

// maxSource is the longest thing that a source may hold: a passphrase and a
// newline.
const maxSource = maxPassphrase + len("\r\n")

// fromEnv and fromFile wipe the secret after parse had it.
func fromEnv(name string, parse func([]byte) (Wrapper, error)) (Wrapper, error) {
	if !envName(name) {
		return nil, errors.New("not the name of an environment variable")
	}
	text, ok := os.LookupEnv(name)
	switch {
	case !ok:
		return nil, fmt.Errorf("the environment has no %s", name)
	case len(text) > maxSource:
		return nil, fmt.Errorf("%s in the environment is longer than %d bytes", name, maxSource)
	}
	secret := []byte(text)
	defer clear(secret)
	w, err := parse(secret)
	if err != nil {
		return nil, fmt.Errorf("%s in the environment: %w", name, err)
	}
	return w, nil
}

func envName(name string) bool {
	for i, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func fromFile(path string, parse func([]byte) (Wrapper, error)) (Wrapper, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()            // of what was opened, not of what the name has now
	if err != nil {
		return nil, err
	}
	if err := checkMode(info.Mode()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	secret := make([]byte, maxSource+1)
	defer clear(secret)
	switch n, err := io.ReadFull(f, secret); {
	case err == nil:
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxSource)
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		w, err := parse(secret[:n])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return w, nil
	default:
		return nil, err
	}
}

// checkMode refuses what group and others may touch, where modes say so.
func checkMode(mode fs.FileMode) error {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" || runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		return nil
	}
	if mode.Perm()&0o077 != 0 {
		return fmt.Errorf("its mode is %04o, so others than its owner may use it: chmod it to 0400 or 0600", mode.Perm())
	}
	return nil
}

func passphraseOf(secret []byte) (Wrapper, error) {
	passphrase := trimNewline(secret)
	if err := checkPassphrase(passphrase); err != nil {
		return nil, err
	}
	return NewPassphrase(passphrase, Cost{})
}

// keyOf is keyOfText, and takes the key's own bytes too.
func keyOf(secret []byte) (Wrapper, error) {
	if len(secret) != KeySize {
		return keyOfText(secret)
	}
	if printable(secret) {
		return nil, errors.New("32 printable characters are not a key: want 32 random bytes, or those as hex or base64")
	}
	return rawKey(secret)
}

// keyOfText never shows the decoder's error, which may show a part of the text.
func keyOfText(secret []byte) (Wrapper, error) {
	text := trimNewline(secret)
	key := make([]byte, base64.StdEncoding.DecodedLen(2*KeySize))
	defer clear(key)
	var n int
	var err error
	switch len(text) {
	case 2 * KeySize:
		n, err = hex.Decode(key, text)
	case 44, 43:
		encoding := base64.StdEncoding
		if bytes.ContainsAny(text, "-_") {
			encoding = base64.URLEncoding
		}
		if len(text) == 43 {
			encoding = encoding.WithPadding(base64.NoPadding)
		}
		n, err = encoding.Strict().Decode(key, text)
	default:
		err = base64.CorruptInputError(0)
	}
	if err != nil || n != KeySize {
		return nil, fmt.Errorf("%d bytes that are not a key: want 32 bytes as 64 characters of hex or 44 of base64", len(secret))
	}
	return rawKey(key[:n])
}

func rawKey(key []byte) (Wrapper, error) {
	kek := (*[KeySize]byte)(key)
	if err := checkRawKey(kek); err != nil {
		return nil, err
	}
	return NewRawKey(kek)
}

func printable(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r > '~' })
}

func trimNewline(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}
