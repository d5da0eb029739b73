package keystore

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// wantSame fails unless b opens what a wrapped.
func wantSame(t *testing.T, a, b Wrapper) {
	t.Helper()
	wrapped, err := a.Wrap(t.Context(), &wrapMKey, wrapContext)
	must(t, err)
	key, err := b.Unwrap(t.Context(), wrapped, wrapContext)
	must(t, err)
	if *key != wrapMKey {
		t.Fatal("another key came back")
	}
}

func TestSourcesGiveTheKeyThatIsThere(t *testing.T) {
	// One that needs the second alphabet of base64.
	kek := wrapKEK
	kek[0], kek[1] = 0xfb, 0xff
	key := rawKeyWrapper(t, kek)
	words := passphrase(t, wrapText, cheap)
	endsInNewline := kek
	endsInNewline[31] = '\n'

	texts := map[string]string{
		"hex":                 hex.EncodeToString(kek[:]),
		"upper hex":           strings.ToUpper(hex.EncodeToString(kek[:])),
		"base64":              base64.StdEncoding.EncodeToString(kek[:]),
		"unpadded base64":     base64.RawStdEncoding.EncodeToString(kek[:]),
		"url base64":          base64.URLEncoding.EncodeToString(kek[:]),
		"unpadded url base64": base64.RawURLEncoding.EncodeToString(kek[:]),
	}
	for name, text := range maps.Clone(texts) {
		texts[name+" and newline"] = text + "\n"
		texts[name+" and dos newline"] = text + "\r\n"
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			wantSame(t, key, parse(t, "key-env:"+setenv(t, text)))
			wantSame(t, key, parse(t, "key-file:"+secretFile(t, text)))
		})
	}
	t.Run("bytes", func(t *testing.T) {
		wantSame(t, key, parse(t, "key-file:"+secretFile(t, string(kek[:]))))
		wantSame(t, rawKeyWrapper(t, endsInNewline), parse(t, "key-file:"+secretFile(t, string(endsInNewline[:]))))
	})
	for name, text := range map[string]string{"text": wrapText, "line": wrapText + "\n", "dos line": wrapText + "\r\n"} {
		t.Run("passphrase "+name, func(t *testing.T) {
			wantSame(t, words, parse(t, "passphrase-env:"+setenv(t, text)))
			wantSame(t, words, parse(t, "passphrase-file:"+secretFile(t, text)))
		})
	}
	t.Run("passphrase with spaces and lines", func(t *testing.T) {
		wantSame(t, passphrase(t, " two\nlines \n", cheap), parse(t, "passphrase-file:"+secretFile(t, " two\nlines \n\n")))
	})
}

func TestSourcesRefuseWhatIsNotAKeyAndDoNotShowIt(t *testing.T) {
	const tail = "SecretTail"
	text := hex.EncodeToString(wrapKEK[:])
	cases := map[string]string{
		"nothing":             "",
		"no source":           tail,
		"no place":            "key-env:",
		"unknown source":      "passphrase:" + tail,
		"not a variable":      "passphrase-env:" + tail + " horse",
		"unset variable":      "key-env:BATPAK_TEST_NOT_SET",
		"empty passphrase":    "passphrase-env:" + setenv(t, ""),
		"only a newline":      "passphrase-file:" + secretFile(t, "\n"),
		"empty file":          "key-file:" + secretFile(t, ""),
		"no file":             "key-file:" + filepath.Join(t.TempDir(), "none"),
		"folder":              "key-file:" + t.TempDir(),
		"long passphrase":     "passphrase-env:" + setenv(t, strings.Repeat("x", 5000)),
		"long passphrasefile": "passphrase-file:" + secretFile(t, strings.Repeat("x", 5000)),
		"one byte more":       "passphrase-file:" + secretFile(t, strings.Repeat("x", 4097)),
		"half a key":          "key-file:" + secretFile(t, text[:32]),
		"33 bytes":            "key-file:" + secretFile(t, string(wrapKEK[:])+"\n"),
		"31 bytes":            "key-file:" + secretFile(t, string(wrapKEK[:31])),
		"not hex":             "key-env:" + setenv(t, text[:54]+tail),
		"not base64":          "key-env:" + setenv(t, strings.Repeat("*", 34)+tail),
		"both alphabets":      "key-env:" + setenv(t, "+-"+strings.Repeat("A", 42-len(tail))+tail[1:]),
		"sloppy base64":       "key-env:" + setenv(t, strings.Repeat("Q", 42)+"B="),
		"bytes in a variable": "key-env:" + setenv(t, strings.ReplaceAll(string(wrapKEK[:]), "\x00", "x")),
		"two lines":           "key-file:" + secretFile(t, text+"\n\n"),
		"zeros":               "key-file:" + secretFile(t, string(make([]byte, 32))),
		"other's refusal":     "other:x",
	}
	refuses := func(string) (Wrapper, error) { return nil, fs.ErrPermission }
	for name, source := range cases {
		t.Run(name, func(t *testing.T) {
			w, err := ParseWrapper(source, map[string]Source{"other": refuses})
			wantErr(t, err, ErrWrapper)
			if w != nil {
				t.Fatal("an error came with a wrapper")
			}
			if strings.Contains(err.Error(), tail[:4]) || strings.Contains(err.Error(), text[:8]) {
				t.Fatalf("the error shows the secret: %v", err)
			}
			if strings.Count(err.Error(), "keystore: ") != 1 {
				t.Fatalf("the error repeats itself: %v", err)
			}
		})
	}
	_, err := ParseWrapper(cases["no file"], nil)
	wantErr(t, err, fs.ErrNotExist)
	_, err = ParseWrapper(cases["unknown source"], map[string]Source{"other": refuses})
	if !strings.Contains(err.Error(), "key-env, key-file, other, passphrase-env, passphrase-file") {
		t.Fatalf("the error does not say what there is: %v", err)
	}
}

func TestFileThatOthersMayUseIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode here")
	}
	path := secretFile(t, hex.EncodeToString(wrapKEK[:]))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(path, link))
	for mode, want := range map[fs.FileMode]error{
		0o400: nil, 0o600: nil, 0o700: nil,
		0o640: ErrWrapper, 0o620: ErrWrapper, 0o610: ErrWrapper, 0o604: ErrWrapper, 0o602: ErrWrapper, 0o601: ErrWrapper, 0o444: ErrWrapper,
	} {
		must(t, os.Chmod(path, mode))
		for _, name := range []string{path, link} {
			_, err := ParseWrapper("key-file:"+name, nil)
			if !errors.Is(err, want) {
				t.Fatalf("mode %04o: error is %v, want %v", mode, err, want)
			}
			if err != nil && !strings.Contains(err.Error(), "chmod") {
				t.Fatalf("the error does not say what to do: %v", err)
			}
			_, err = ParseWrapper("passphrase-file:"+name, nil)
			if !errors.Is(err, want) {
				t.Fatalf("mode %04o: error is %v, want %v", mode, err, want)
			}
		}
	}
}

func TestSourceOfTheCallerIsAsked(t *testing.T) {
	want := rawKeyWrapper(t, wrapKEK)
	var asked string
	w, err := ParseWrapper("vault:team/transit/journal:1", map[string]Source{
		"vault":   func(rest string) (Wrapper, error) { asked = rest; return want, nil },
		"key-env": func(string) (Wrapper, error) { return nil, errors.New("must not take the place of what is here") },
	})
	must(t, err)
	if w != Wrapper(want) || asked != "team/transit/journal:1" {
		t.Fatalf("asked for %q and got %v", asked, w)
	}
}

func parse(t *testing.T, text string) Wrapper {
	t.Helper()
	w, err := ParseWrapper(text, nil)
	must(t, err)
	return w
}

// setenv puts a text in a variable of its own for the rest of the test.
func setenv(t *testing.T, text string) string {
	t.Helper()
	name := "BATPAK_TEST_" + hex.EncodeToString(newWrapNonce()[:])
	t.Setenv(name, text)
	return name
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
