package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"batpak/keystore"
)

// Method is what [Transit.Method] answers.
const Method = "vault-transit"

// Defaults of Config.
const (
	DefaultAddress = "https://127.0.0.1:8200"
	DefaultMount   = "transit"
	DefaultTimeout = 10 * time.Second
)

// Config says which key of which server to use. Key and Token are required.
type Config struct {
	Key       string        // name of the key
	Mount     string        // where the engine is mounted; DefaultMount when empty
	Address   string        // of the server; DefaultAddress when empty
	Namespace string        // of Vault Enterprise or OpenBao; none when empty
	CACert    string        // file with PEM certificates to trust instead of the system's
	Timeout   time.Duration // of one request with its answer; DefaultTimeout when zero

	// Token is called for each request, so that a token may be renewed. It is a
	// function because a Config may then be printed.
	Token func(context.Context) (string, error) `json:"-"`

	// AllowHTTP permits an http address of another machine. The token and the
	// master key can then be read on the way.
	AllowHTTP bool
}

// Transit wraps with one key of a transit engine. It holds no connection open.
//
// However it is printed, logged or marshalled, it shows its method and the name of
// the key in Vault.
type Transit struct {
	config Config
	base   *url.URL
	client *http.Client
}

var _ keystore.Wrapper = (*Transit)(nil)

// New checks what it is given, and asks the server nothing. The error is
// keystore.ErrWrapper.
func New(config Config) (*Transit, error) {
	t, err := build(config)
	if err != nil {
		return nil, fmt.Errorf("vault: %w: %w", keystore.ErrWrapper, err)
	}
	return t, nil
}

// Source is a [keystore.Source] for "vault:KEY" and "vault:MOUNT/KEY". The rest is
// in the environment, as for the vault command: VAULT_ADDR, VAULT_TOKEN,
// VAULT_NAMESPACE and VAULT_CACERT. No other variable of Vault has an effect, and
// ~/.vault-token is not read.
func Source(path string) (keystore.Wrapper, error) {
	config := Config{
		Key:       path,
		Address:   strings.TrimSpace(os.Getenv("VAULT_ADDR")),
		Namespace: os.Getenv("VAULT_NAMESPACE"),
		CACert:    os.Getenv("VAULT_CACERT"),
		Token: func(context.Context) (string, error) {
			if token := os.Getenv("VAULT_TOKEN"); token != "" {
				return token, nil
			}
			return "", errors.New("VAULT_TOKEN is not set")
		},
	}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		config.Mount, config.Key = path[:i], path[i+1:]
		if config.Mount == "" {
			return nil, errors.New("no mount before the slash")
		}
	}
	if _, err := config.Token(context.Background()); err != nil {
		return nil, err
	}
	t, err := build(config)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// name is what Vault's paths allow for a name, and what a mount is made of.
var name = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

func build(config Config) (*Transit, error) {
	if config.Mount == "" {
		config.Mount = DefaultMount
	}
	if config.Address == "" {
		config.Address = DefaultAddress
	}
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	if !name.MatchString(config.Key) {
		return nil, errors.New("the key's name is not one that Vault has")
	}
	for part := range strings.SplitSeq(config.Mount, "/") {
		if !name.MatchString(part) {
			return nil, errors.New("the mount's name is not one that Vault has")
		}
	}
	if config.Token == nil {
		return nil, errors.New("no token")
	}
	if config.Timeout < 0 {
		return nil, errors.New("the timeout is negative")
	}
	if !headerText(config.Namespace) {
		return nil, errors.New("the namespace is not printable")
	}
	base, err := url.Parse(config.Address)
	if err != nil {
		return nil, errors.New("the address is not a URL") // the error would show it, with a password
	}
	t := &Transit{config: config, base: base}
	if err := t.checkURL(base); err != nil {
		return nil, err
	}
	roots, err := readRoots(config.CACert)
	if err != nil {
		return nil, err
	}
	t.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true, // two requests in the life of a process
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: t.checkRedirect,
	}
	return t, nil
}

// checkURL refuses an address to which the master key must not be sent.
func (t *Transit) checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errors.New("the address is not https://HOST:PORT")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("the address has a user, a query or a fragment")
	case u.Scheme == "http" && !t.config.AllowHTTP && !loopback(u.Hostname()):
		return errors.New("the address is http, where the token and the key could be read on the way: use https")
	}
	return nil
}

// checkRedirect lets a standby server send a request on, once, to the active one.
func (t *Transit) checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case r.Method != http.MethodPost:
		return http.ErrUseLastResponse
	case len(via) > 1:
		return errors.New("it redirects more than once")
	case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
		return errors.New("it redirects from https to http")
	}
	return t.checkURL(r.URL)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates to trust: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates to trust: %s has none", file)
	}
	return roots, nil
}

// Method is the constant Method.
func (t *Transit) Method() string { return Method }

// Wrap implements [keystore.Wrapper]. It fails with ErrRefused when the server does
// not authenticate the context.
func (t *Transit) Wrap(ctx context.Context, key *[32]byte, context []byte) ([]byte, error) {
	var answer struct{ Ciphertext string }
	if err := t.post(ctx, "encrypt", request{plaintext: key[:], context: context}, &answer); err != nil {
		return nil, err
	}
	if !ciphertext(answer.Ciphertext) {
		return nil, t.fail("encrypt", fmt.Errorf("%w: no ciphertext in it", ErrAnswer))
	}
	other := append(append([]byte(nil), context...), "?"...)
	switch back, err := t.decrypt(ctx, answer.Ciphertext, other); {
	case err == nil:
		clear(back)
		return nil, t.fail("encrypt", fmt.Errorf("%w: it ignores associated_data, for which it must be Vault 1.13 or later", ErrRefused))
	case !errors.Is(err, keystore.ErrWrongKey):
		return nil, err
	}
	return []byte(answer.Ciphertext), nil
}

// Unwrap implements [keystore.Wrapper].
func (t *Transit) Unwrap(ctx context.Context, wrapped, context []byte) (*[32]byte, error) {
	if !ciphertext(string(wrapped)) {
		return nil, t.fail("decrypt", fmt.Errorf("%w: %w: %d bytes that are not a ciphertext of Vault", keystore.ErrWrongKey, keystore.ErrMalformed, len(wrapped)))
	}
	plain, err := t.decrypt(ctx, string(wrapped), context)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(plain) != 32 {
		return nil, t.fail("decrypt", fmt.Errorf("%w: it is of %d bytes and not of a key", keystore.ErrWrongKey, len(plain)))
	}
	key := [32]byte(plain)
	return &key, nil
}

func (t *Transit) decrypt(ctx context.Context, ciphertext string, context []byte) ([]byte, error) {
	var answer struct{ Plaintext *[]byte }
	if err := t.post(ctx, "decrypt", request{ciphertext: ciphertext, context: context}, &answer); err != nil {
		return nil, err
	}
	if answer.Plaintext == nil {
		return nil, t.fail("decrypt", fmt.Errorf("%w: no plaintext in it", ErrAnswer))
	}
	return *answer.Plaintext, nil
}

// ciphertext is whether a text can be one of Vault's, whose form a plugin may
// choose.
func ciphertext(text string) bool {
	return text != "" && len(text) <= keystore.MaxWrapped && headerText(text) && !strings.Contains(text, " ")
}

// headerText is whether a text can be the value of a header.
func headerText(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// String is the method and the key's path.
func (t *Transit) String() string { return Method + " " + t.config.Mount + "/" + t.config.Key }

// Format writes String for every verb and flag.
func (t *Transit) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText is String.
func (t *Transit) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
