package vault_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"batpak/keystore"
	"batpak/keystore/vault"
)

var (
	masterKey     = sha256.Sum256([]byte("master key"))
	masterContext = []byte("what the keyset is of")
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr also wants that an error which says nothing about the wrapped key does
// not say that it is wrong.
func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
	if errors.Is(err, keystore.ErrWrongKey) != (want == keystore.ErrWrongKey) {
		t.Fatalf("error is %v and ErrWrongKey: %v", err, errors.Is(err, keystore.ErrWrongKey))
	}
	wantNoSecret(t, err.Error())
}

// wantNoSecret fails when 6 characters of the token or of a form of the key are in a
// text.
func wantNoSecret(t testing.TB, text string) {
	t.Helper()
	forms := []string{testToken[8:], base64.StdEncoding.EncodeToString(masterKey[:]), fmt.Sprintf("%x", masterKey), fmt.Sprintf("%X", masterKey), string(masterKey[:]), strings.Trim(fmt.Sprint(masterKey), "[]")}
	for _, form := range forms {
		for i := range len(form) - 6 {
			if strings.Contains(text, form[i:i+6]) {
				t.Fatalf("%q shows a secret", text)
			}
		}
	}
}

func token(context.Context) (string, error) { return testToken, nil }

func transit(t testing.TB, s *server, change ...func(*vault.Config)) *vault.Transit {
	t.Helper()
	config := vault.Config{Address: s.URL, Key: "journal", Token: token}
	for _, f := range change {
		f(&config)
	}
	w, err := vault.New(config)
	must(t, err)
	return w
}

func wrap(t testing.TB, w keystore.Wrapper) []byte {
	t.Helper()
	wrapped, err := w.Wrap(t.Context(), &masterKey, masterContext)
	must(t, err)
	return wrapped
}

func wantUnwraps(t testing.TB, w keystore.Wrapper, wrapped []byte) {
	t.Helper()
	key, err := w.Unwrap(t.Context(), wrapped, masterContext)
	must(t, err)
	if *key != masterKey {
		t.Fatal("another key came back")
	}
}

func TestWrappedKeyOpensWithTheSameKeyAndContextOnly(t *testing.T) {
	s := newServer(t)
	w := transit(t, s)
	wrapped := wrap(t, w)
	if !strings.HasPrefix(string(wrapped), "vault:v1:") {
		t.Fatalf("wrapped to %q, which is not what Vault gave", wrapped)
	}
	wantUnwraps(t, w, wrapped)
	_, err := w.Unwrap(t.Context(), wrapped, []byte("another"))
	wantErr(t, err, keystore.ErrWrongKey)
	_, err = w.Unwrap(t.Context(), wrapped, nil)
	wantErr(t, err, keystore.ErrWrongKey)
	_, err = transit(t, s, func(c *vault.Config) { c.Key = "other" }).Unwrap(t.Context(), wrapped, masterContext)
	wantErr(t, err, keystore.ErrWrongKey)
	changed := bytes.Clone(wrapped)
	changed[len(changed)-5] ^= 1
	_, err = w.Unwrap(t.Context(), changed, masterContext)
	wantErr(t, err, keystore.ErrWrongKey)

	none, err := w.Wrap(t.Context(), &masterKey, nil)
	must(t, err)
	key, err := w.Unwrap(t.Context(), none, nil)
	must(t, err)
	if *key != masterKey {
		t.Fatal("another key came back")
	}
}

func TestRotatedKeyStillOpensWhatItWrapped(t *testing.T) {
	s := newServer(t)
	w := transit(t, s)
	first := wrap(t, w)
	s.rotate(t, "journal")
	second := wrap(t, w)
	if !strings.HasPrefix(string(second), "vault:v2:") {
		t.Fatalf("wrapped to %q after the rotation", second)
	}
	wantUnwraps(t, w, first)
	wantUnwraps(t, w, second)
	s.set(func() { s.oldest = 2 })
	_, err := w.Unwrap(t.Context(), first, masterContext)
	wantErr(t, err, keystore.ErrWrongKey)
	wantUnwraps(t, w, second)
}

func TestBytesThatVaultNeverGaveAreNotSentToIt(t *testing.T) {
	s := newServer(t)
	w := transit(t, s)
	for _, wrapped := range [][]byte{nil, []byte("vault:v1:\n"), []byte("vault:v1:a b"), {0xff}, bytes.Repeat([]byte("x"), keystore.MaxWrapped+1)} {
		_, err := w.Unwrap(t.Context(), wrapped, masterContext)
		wantErr(t, err, keystore.ErrWrongKey)
		if !errors.Is(err, keystore.ErrMalformed) {
			t.Fatalf("error is %v, want ErrMalformed", err)
		}
	}
	if len(s.seen) != 0 {
		t.Fatalf("the server was asked %q", s.seen)
	}
	// Whatever else can be in them reaches it as it is.
	_, err := w.Unwrap(t.Context(), []byte(`"}\u0000<x>`), masterContext)
	wantErr(t, err, keystore.ErrWrongKey)
}

func TestServerThatCannotNowIsNotTheWrongKey(t *testing.T) {
	for name, c := range map[string]struct {
		config func(*vault.Config)
		server func(*server)
		want   error
		says   string
	}{
		"sealed":      {server: func(s *server) { s.sealed = true }, want: vault.ErrUnavailable, says: "Vault is sealed"},
		"closed":      {server: func(s *server) { s.Close() }, want: vault.ErrUnavailable, says: "refused"},
		"wrong token": {config: func(c *vault.Config) { c.Token = func(context.Context) (string, error) { return "hvs.wrong", nil } }, want: vault.ErrDenied, says: "permission denied"},
		"no token":    {config: func(c *vault.Config) { c.Token = func(context.Context) (string, error) { return " ", nil } }, want: vault.ErrDenied, says: "empty"},
		"odd token": {config: func(c *vault.Config) {
			c.Token = func(context.Context) (string, error) { return testToken + "\nx", nil }
		}, want: vault.ErrDenied, says: "printable"},
		"token's error": {config: func(c *vault.Config) { c.Token = func(context.Context) (string, error) { return "", io.ErrNoProgress } }, want: io.ErrNoProgress, says: "no token"},
		"no mount":      {config: func(c *vault.Config) { c.Mount = "team/transit" }, want: vault.ErrRefused, says: "no handler for route"},
		"no namespace":  {server: func(s *server) { s.namespace = "team" }, want: vault.ErrRefused, says: "no handler for route"},
		"no key":        {config: func(c *vault.Config) { c.Key = "none" }, want: vault.ErrRefused, says: "encryption key not found"},
		"slow":          {config: func(c *vault.Config) { c.Timeout = 50 * time.Millisecond }, server: intercept(hang), want: vault.ErrUnavailable, says: "deadline"},
		"slow body":     {config: func(c *vault.Config) { c.Timeout = 50 * time.Millisecond }, server: intercept(hangLater), want: vault.ErrUnavailable, says: "deadline"},
		"huge":          {server: intercept(status(200, strings.Repeat("x", 1<<20))), want: vault.ErrAnswer, says: "longer"},
		"huge error":    {server: intercept(status(400, `{"errors":["`+strings.Repeat("x", 1<<20)+`"]}`)), want: vault.ErrAnswer, says: "longer"},
		"huge header":   {server: intercept(hugeHeader), want: vault.ErrUnavailable},
		"cut":           {server: intercept(cut), want: vault.ErrUnavailable},
		"hung up":       {server: intercept(hangUp), want: vault.ErrUnavailable},
		"empty":         {server: intercept(status(200, "")), want: vault.ErrAnswer},
		"no content":    {server: intercept(status(204, "")), want: vault.ErrAnswer},
		"not JSON":      {server: intercept(status(200, "<html>")), want: vault.ErrAnswer},
		"deep JSON":     {server: intercept(status(200, strings.Repeat("[", 60000))), want: vault.ErrAnswer},
		"no data":       {server: intercept(status(200, "{}")), want: vault.ErrAnswer},
		"null":          {server: intercept(status(200, `{"data":null}`)), want: vault.ErrAnswer},
		"other types":   {server: intercept(status(200, `{"data":{"plaintext":7,"ciphertext":{}}}`)), want: vault.ErrAnswer},
		"not base64":    {server: intercept(status(200, `{"data":{"plaintext":"*","ciphertext":""}}`)), want: vault.ErrAnswer},
		"proxy's 400":   {server: intercept(status(400, "Client sent an HTTP request to an HTTPS server.")), want: vault.ErrAnswer},
		"no errors":     {server: intercept(status(400, `{"errors":[]}`)), want: vault.ErrAnswer},
		"no client":     {server: intercept(status(400, `{"errors":["missing client token"]}`)), want: vault.ErrDenied},
		"broken":        {server: intercept(status(500, `{"errors":["decryption failed: cipher: message authentication failed"]}`)), want: vault.ErrUnavailable},
		"busy":          {server: intercept(status(429, `{"errors":["request path quota exceeded"]}`)), want: vault.ErrUnavailable, says: "quota"},
		"behind":        {server: intercept(status(412, `{"errors":["required index state not present"]}`)), want: vault.ErrUnavailable},
		"standby":       {server: intercept(status(473, ``)), want: vault.ErrUnavailable},
		"not a page":    {server: intercept(status(404, `<html>`)), want: vault.ErrRefused},
		"login page":    {server: intercept(redirect(http.StatusFound, "/login")), want: vault.ErrAnswer, says: "302"},
		"round trip":    {server: intercept(redirect(http.StatusTemporaryRedirect, "/again")), want: vault.ErrUnavailable, says: "more than once"},
		"elsewhere":     {server: intercept(redirect(http.StatusTemporaryRedirect, "http://vault.example/")), want: vault.ErrUnavailable, says: "use https"},
		"to a query":    {server: intercept(redirect(http.StatusTemporaryRedirect, "/?x=y")), want: vault.ErrUnavailable, says: "query"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			wrapped := wrap(t, transit(t, s))
			if c.server != nil {
				c.server(s)
			}
			var change []func(*vault.Config)
			if c.config != nil {
				change = append(change, c.config)
			}
			w := transit(t, s, change...)
			_, err := w.Unwrap(t.Context(), wrapped, masterContext)
			wantErr(t, err, c.want)
			if !strings.Contains(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\n\t") || len(err.Error()) > 500 {
				t.Fatalf("error is %q, want one line that says %q", err, c.says)
			}
			_, err = w.Wrap(t.Context(), &masterKey, masterContext)
			wantErr(t, err, c.want)
		})
	}
}

func TestWhatVaultRefusesToOpenIsTheWrongKey(t *testing.T) {
	s := newServer(t)
	w := transit(t, s)
	wrapped := wrap(t, w)
	for _, said := range []string{"cipher: message authentication failed", "chacha20poly1305: message authentication failed", "invalid ciphertext: no prefix"} {
		intercept(status(400, fmt.Sprintf(`{"errors":[%q]}`, said)))(s)
		_, err := w.Unwrap(t.Context(), wrapped, masterContext)
		wantErr(t, err, keystore.ErrWrongKey)
		if !strings.Contains(err.Error(), said) {
			t.Fatalf("error is %v, want one that says %q", err, said)
		}
	}
	for _, plain := range []string{"", "AAAA", base64.StdEncoding.EncodeToString(make([]byte, 33))} {
		intercept(status(200, fmt.Sprintf(`{"data":{"plaintext":%q}}`, plain)))(s)
		_, err := w.Unwrap(t.Context(), wrapped, masterContext)
		wantErr(t, err, keystore.ErrWrongKey)
	}
	// To encrypt, it is not.
	intercept(status(400, `{"errors":["message encryption not supported for key type ed25519"]}`))(s)
	_, err := w.Wrap(t.Context(), &masterKey, masterContext)
	wantErr(t, err, vault.ErrRefused)
}

func TestWrapRefusesWhatItCouldNotUndo(t *testing.T) {
	s := newServer(t)
	w := transit(t, s)
	s.set(func() { s.ignoresAAD = true })
	_, err := w.Wrap(t.Context(), &masterKey, masterContext)
	wantErr(t, err, vault.ErrRefused)
	if !strings.Contains(err.Error(), "1.13") {
		t.Fatalf("error is %v", err)
	}
	s.set(func() { s.ignoresAAD, s.mayDecrypt = false, false })
	_, err = w.Wrap(t.Context(), &masterKey, masterContext)
	wantErr(t, err, vault.ErrDenied)
	for _, text := range []string{"", "a b", "\x01", strings.Repeat("x", keystore.MaxWrapped+1)} {
		b, err := json.Marshal(map[string]any{"data": map[string]any{"ciphertext": text}})
		must(t, err)
		intercept(status(200, string(b)))(s)
		_, err = w.Wrap(t.Context(), &masterKey, masterContext)
		wantErr(t, err, vault.ErrAnswer)
	}
}

func TestCallersContextEndsTheRequest(t *testing.T) {
	s := newServer(t)
	w := transit(t, s)
	wrapped := wrap(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	s.set(func() {
		s.intercept = func(w http.ResponseWriter, r *http.Request) {
			cancel()
			hang(w, r)
		}
	})
	_, err := w.Unwrap(ctx, wrapped, masterContext)
	wantErr(t, err, context.Canceled)
	wantErr(t, err, vault.ErrUnavailable)
}

// A standby sends a request on to the active server.
func TestRedirectToTheActiveServerIsFollowed(t *testing.T) {
	active, standby := newServer(t), newServer(t)
	standby.set(func() {
		standby.intercept = func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, active.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}
	})
	w := transit(t, standby)
	wantUnwraps(t, w, wrap(t, w))
	want := []string{"POST /v1/transit/encrypt/journal", "POST /v1/transit/decrypt/journal", "POST /v1/transit/decrypt/journal"}
	if !reflect.DeepEqual(active.seen, want) {
		t.Fatalf("the active server was asked %q, want %q", active.seen, want)
	}
}

func TestRedirectFromHTTPSToHTTPIsRefused(t *testing.T) {
	active := newServer(t)
	secure := httptest.NewTLSServer(http.RedirectHandler(active.URL+"/v1/transit/encrypt/journal", http.StatusTemporaryRedirect))
	t.Cleanup(secure.Close)
	w := transit(t, active, func(c *vault.Config) { c.Address, c.CACert, c.AllowHTTP = secure.URL, caFile(t, secure), true })
	_, err := w.Wrap(t.Context(), &masterKey, masterContext)
	wantErr(t, err, vault.ErrUnavailable)
	if !strings.Contains(err.Error(), "from https to http") || len(active.seen) != 0 {
		t.Fatalf("error is %v, and the other server was asked %q", err, active.seen)
	}
}

func caFile(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	return path
}

func TestRequestIsAsVaultHasIt(t *testing.T) {
	s := newServer(t)
	s.namespace = "team/a"
	var got *http.Request
	var body []byte
	s.set(func() {
		s.intercept = func(w http.ResponseWriter, r *http.Request) {
			got = r
			body, _ = io.ReadAll(r.Body)
			answer(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(masterKey[:])})
		}
	})
	w := transit(t, s, func(c *vault.Config) {
		c.Address += "/behind/a/proxy/"
		c.Mount, c.Namespace = "team/transit", "team/a"
	})
	wantUnwraps(t, w, []byte("vault:v1:abc"))
	if got.Method != "POST" || got.URL.Path != "/behind/a/proxy/v1/team/transit/decrypt/journal" || got.URL.RawQuery != "" {
		t.Fatalf("asked %s %s", got.Method, got.URL)
	}
	for name, want := range map[string]string{
		"X-Vault-Token": testToken, "X-Vault-Namespace": "team/a", "X-Vault-Request": "true", "Content-Type": "application/json",
	} {
		if got.Header.Get(name) != want {
			t.Fatalf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	want := fmt.Sprintf(`{"ciphertext":"vault:v1:abc","associated_data":%q}`, base64.StdEncoding.EncodeToString(masterContext))
	if string(body) != want || got.ContentLength != int64(len(want)) {
		t.Fatalf("body is %s, want %s", body, want)
	}
}

// What answers may send back all that it was sent.
func TestEchoedSecretsAreWithheld(t *testing.T) {
	for _, code := range []int{200, 400, 403, 404, 418, 500, 503} {
		s := newServer(t)
		w := transit(t, s)
		s.set(func() {
			s.intercept = func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				refuse(w, code, strings.Repeat("x", 190)+r.Header.Get("X-Vault-Token"), string(body))
			}
		})
		_, err := w.Wrap(t.Context(), &masterKey, masterContext)
		wantNoSecret(t, err.Error())
		if code != 200 && !strings.Contains(err.Error(), "(withheld)") {
			t.Fatalf("error is %v", err)
		}
		s.set(func() {
			s.intercept = func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.WriteHeader(code)
				_, _ = fmt.Fprintf(w, "%s %s", r.Header.Get("X-Vault-Token"), body)
			}
		})
		_, err = w.Wrap(t.Context(), &masterKey, masterContext)
		wantNoSecret(t, err.Error())
		s.set(func() {
			s.intercept = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "http://["+r.Header.Get("X-Vault-Token"))
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
		})
		_, err = w.Wrap(t.Context(), &masterKey, masterContext)
		wantErr(t, err, vault.ErrUnavailable)
	}
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca")
	must(t, os.WriteFile(notPEM, []byte("x"), 0o600))
	for name, change := range map[string]func(*vault.Config){
		"no key":        func(c *vault.Config) { c.Key = "" },
		"path in key":   func(c *vault.Config) { c.Key = "../x" },
		"dots":          func(c *vault.Config) { c.Key = ".." },
		"query in key":  func(c *vault.Config) { c.Key = "x?y" },
		"escape in key": func(c *vault.Config) { c.Key = "x%2fy" },
		"dots in mount": func(c *vault.Config) { c.Mount = "a/../b" },
		"slashes":       func(c *vault.Config) { c.Mount = "a//b" },
		"no token":      func(c *vault.Config) { c.Token = nil },
		"negative time": func(c *vault.Config) { c.Timeout = -1 },
		"namespace":     func(c *vault.Config) { c.Namespace = "a\nb" },
		"no URL":        func(c *vault.Config) { c.Address = "https://[" + testToken },
		"no scheme":     func(c *vault.Config) { c.Address = "vault:8200" },
		"other scheme":  func(c *vault.Config) { c.Address = "unix:///run/vault" },
		"no host":       func(c *vault.Config) { c.Address = "https://" },
		"no host, port": func(c *vault.Config) { c.Address = "https://:8200" },
		"password":      func(c *vault.Config) { c.Address = "https://u:" + testToken + "@vault" },
		"query":         func(c *vault.Config) { c.Address = "https://vault?x=y" },
		"far http":      func(c *vault.Config) { c.Address = "http://vault:8200" },
		"no CA file":    func(c *vault.Config) { c.CACert = notPEM + "x" },
		"no CA in file": func(c *vault.Config) { c.CACert = notPEM },
	} {
		t.Run(name, func(t *testing.T) {
			config := vault.Config{Key: "journal", Token: token}
			change(&config)
			w, err := vault.New(config)
			wantErr(t, err, keystore.ErrWrapper)
			if w != nil {
				t.Fatal("an error came with a wrapper")
			}
		})
	}
	for _, address := range []string{"", "https://vault:8200", "http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost:8200"} {
		_, err := vault.New(vault.Config{Key: "journal", Token: token, Address: address})
		must(t, err)
	}
	_, err := vault.New(vault.Config{Key: "journal", Token: token, Address: "http://vault:8200", AllowHTTP: true})
	must(t, err)
}

func TestSourceReadsTheEnvironmentAsVaultDoes(t *testing.T) {
	s := newServer(t)
	s.namespace = "team"
	s.Server.Close()
	s.Server = httptest.NewTLSServer(s)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of handshakes that are to fail
	t.Cleanup(s.Close)
	t.Setenv("VAULT_ADDR", s.URL)
	t.Setenv("VAULT_NAMESPACE", "team")
	t.Setenv("VAULT_CACERT", caFile(t, s.Server))
	t.Setenv("VAULT_TOKEN", testToken+"\n")
	sources := map[string]keystore.Source{"vault": vault.Source}
	for _, text := range []string{"vault:journal", "vault:transit/journal"} {
		w, err := keystore.ParseWrapper(text, sources)
		must(t, err)
		wantUnwraps(t, w, wrap(t, w))
	}
	for _, text := range []string{"vault:", "vault:/journal", "vault:transit/", "vault:a b"} {
		_, err := keystore.ParseWrapper(text, sources)
		wantErr(t, err, keystore.ErrWrapper)
	}

	t.Setenv("VAULT_CACERT", "")
	w, err := keystore.ParseWrapper("vault:journal", sources)
	must(t, err)
	_, err = w.Wrap(t.Context(), &masterKey, masterContext)
	wantErr(t, err, vault.ErrUnavailable)
	if !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("error is %v, want one about the certificate", err)
	}
	t.Setenv("VAULT_TOKEN", "")
	_, err = keystore.ParseWrapper("vault:journal", sources)
	wantErr(t, err, keystore.ErrWrapper)
	if !strings.Contains(err.Error(), "VAULT_TOKEN") {
		t.Fatalf("error is %v", err)
	}
}

func TestNothingPrintsTheToken(t *testing.T) {
	s := newServer(t)
	config := vault.Config{Address: s.URL, Key: "journal", Token: token}
	w, err := vault.New(config)
	must(t, err)
	wrap(t, w)
	type holder struct {
		Exported   keystore.Wrapper
		unexported *vault.Transit
		config     vault.Config
	}
	h := holder{w, w, config}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%c"} {
		for _, v := range []any{w, &w, []any{w}, h, &h, config, &config} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintf(&out, verb+"\n", reflect.ValueOf(w).Elem())
	}
	for _, v := range []any{w, h, config} {
		b, err := json.Marshal(v)
		must(t, err)
		out.Write(b)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "w", w, "holder", h, "config", config)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "w", w, "holder", h, "config", config)
	wantNoSecret(t, out.String())
	if !strings.Contains(out.String(), "vault-transit transit/journal") {
		t.Fatal("the key's path is not shown")
	}
}

func intercept(h http.HandlerFunc) func(*server) {
	return func(s *server) { s.set(func() { s.intercept = h }) }
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func redirect(code int, to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, code) }
}

// hang answers when the client has gone. It must read the body for that to be seen.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func hangLater(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, `{"data":`)
	_ = http.NewResponseController(w).Flush()
	hang(w, r)
}

func hugeHeader(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X", strings.Repeat("x", 1<<20))
}

func cut(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"data":{}}`)
}

func hangUp(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}
