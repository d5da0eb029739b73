package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"batpak/keystore"
)

// Errors of a server that did not do what was asked. None of them says anything
// about the wrapped key.
var (
	// ErrUnavailable means that there is no answer in time, or that the server is
	// sealed, starting, overloaded or broken.
	ErrUnavailable = errors.New("server unavailable")

	// ErrDenied means that the token is none, has ended, or may not do this.
	ErrDenied = errors.New("permission denied")

	// ErrRefused means that the server cannot do this: there is no such mount or
	// key, or the key is of a type that does not do it.
	ErrRefused = errors.New("request refused")

	// ErrAnswer means that the answer is not one that Vault gives.
	ErrAnswer = errors.New("not an answer of Vault")
)

// maxAnswer is the longest answer in bytes that is read, and of its headers too.
const maxAnswer = 64 << 10

// request is the body of both requests.
type request struct {
	plaintext  []byte
	ciphertext string
	context    []byte
}

// json is written here because an encoder keeps a buffer with the key in it. Whoever
// calls it wipes the result.
func (in *request) json() []byte {
	const most = len(`{"plaintext":"","ciphertext":"","associated_data":""}`)
	size := most + base64.StdEncoding.EncodedLen(len(in.plaintext)) + base64.StdEncoding.EncodedLen(len(in.context)) + 6*len(in.ciphertext)
	b := make([]byte, 0, size)
	if in.plaintext != nil {
		b = append(b, `{"plaintext":"`...)
		b = base64.StdEncoding.AppendEncode(b, in.plaintext)
		b = append(b, '"')
	} else {
		text, _ := json.Marshal(in.ciphertext) // a string always has its JSON
		b = append(b, `{"ciphertext":`...)
		b = append(b, text...)
	}
	if len(in.context) > 0 {
		b = append(b, `,"associated_data":"`...)
		b = base64.StdEncoding.AppendEncode(b, in.context)
		b = append(b, '"')
	}
	return append(b, '}')
}

// post sends a request and decodes the data of the answer into data.
func (t *Transit) post(ctx context.Context, op string, in request, data any) error {
	ctx, cancel := context.WithTimeout(ctx, t.config.Timeout)
	defer cancel()
	token, err := t.config.Token(ctx)
	if err != nil {
		return t.fail(op, fmt.Errorf("no token: %w", err))
	}
	token = strings.TrimSpace(token)
	if token == "" || !headerText(token) {
		return t.fail(op, fmt.Errorf("%w: the token is empty or not printable", ErrDenied))
	}
	secrets := secrets{[]byte(token), base64.StdEncoding.AppendEncode(nil, in.plaintext)}
	defer secrets.wipe()

	r, wipe, err := t.newRequest(ctx, op, token, in)
	if err != nil {
		return t.fail(op, err)
	}
	defer wipe()
	resp, err := t.client.Do(r)
	if err != nil {
		return t.fail(op, secrets.unavailable(err))
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	body := make([]byte, maxAnswer+1)
	defer clear(body)
	n, err := io.ReadFull(resp.Body, body)
	switch {
	case err == nil:
		return t.fail(op, fmt.Errorf("%w: longer than %d bytes", ErrAnswer, maxAnswer))
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return t.fail(op, secrets.unavailable(err))
	case int64(n) < resp.ContentLength:
		return t.fail(op, fmt.Errorf("%w: the answer ends early", ErrUnavailable))
	}
	if resp.StatusCode != http.StatusOK {
		return t.fail(op, secrets.refusal(op, resp.StatusCode, body[:n]))
	}
	answer := struct{ Data any }{data}
	if json.Unmarshal(body[:n], &answer) != nil { // the error may show a part
		return t.fail(op, fmt.Errorf("%w: not the JSON that was expected", ErrAnswer))
	}
	return nil
}

// newRequest makes a request, and a function that wipes what it made to be sent.
func (t *Transit) newRequest(ctx context.Context, op, token string, in request) (*http.Request, func(), error) {
	text := in.json()
	u := t.base.JoinPath("v1", t.config.Mount, op, t.config.Key)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), newWiped(text))
	if err != nil {
		clear(text)
		return nil, nil, errors.New("the address is not a URL")
	}
	r.ContentLength = int64(len(text))
	r.GetBody = func() (io.ReadCloser, error) { return newWiped(text), nil } // for a redirect
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Token", token)
	r.Header.Set("X-Vault-Request", "true") // an agent may demand it
	if t.config.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", t.config.Namespace)
	}
	return r, func() { clear(text) }, nil
}

// wiped is a body with its own copy of what it sends, which Close wipes. The
// transport may read it after it has returned, and closes it when it does not.
type wiped struct {
	mu   sync.Mutex // guards what follows
	text []byte
	rest *bytes.Reader
}

func newWiped(text []byte) *wiped {
	text = bytes.Clone(text)
	return &wiped{text: text, rest: bytes.NewReader(text)}
}

func (w *wiped) Read(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rest.Read(b)
}

func (w *wiped) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.text)
	w.rest.Reset(nil)
	return nil
}

// secrets are texts that no error may show.
type secrets [][]byte

func (s secrets) in(text string) bool {
	return slices.ContainsFunc(s, func(secret []byte) bool {
		return len(secret) > 0 && bytes.Contains([]byte(text), secret)
	})
}

func (s secrets) wipe() {
	for _, secret := range s {
		clear(secret)
	}
}

// unavailable is the error of a request without an answer. What a broken server
// sent may be in it.
func (s secrets) unavailable(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // the URL is said already
	}
	if s.in(err.Error()) {
		return fmt.Errorf("%w: (withheld)", ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// refusal is the error of an answer that is not the 200 that was hoped for.
func (s secrets) refusal(op string, status int, body []byte) error {
	var answer struct{ Errors *[]string }
	if json.Unmarshal(body, &answer) != nil || answer.Errors == nil {
		answer.Errors = new([]string)
	}
	said := strings.Join(*answer.Errors, "; ")
	text := s.shown(said)
	switch {
	case status == http.StatusForbidden || status == http.StatusUnauthorized || strings.Contains(said, "missing client token"):
		return fmt.Errorf("%w (%d)%s", ErrDenied, status, text)
	case status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: sealed, or down (503)%s", ErrUnavailable, text)
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusPreconditionFailed, status == 472, status == 473:
		return fmt.Errorf("%w (%d)%s", ErrUnavailable, status, text)
	case said == "" && status != http.StatusNotFound:
		// A proxy, or a TLS server that was asked without TLS, answers 400 too.
		return fmt.Errorf("%w (%d): it says no error", ErrAnswer, status)
	case status == http.StatusBadRequest && op == "decrypt" && !strings.Contains(said, "key not found"):
		return fmt.Errorf("%w (%d)%s", keystore.ErrWrongKey, status, text)
	}
	return fmt.Errorf("%w (%d)%s", ErrRefused, status, text)
}

// shown is what an error may show of what a server says: little of it, on one
// line.
func (s secrets) shown(said string) string {
	const most = 200
	switch {
	case said == "":
		return ""
	case s.in(said):
		return ": (withheld)"
	case len(said) > most:
		said = said[:most] + "..."
	}
	return ": " + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, said)
}

func (t *Transit) fail(op string, err error) error {
	return fmt.Errorf("vault: %s with %s/%s at %s: %w", op, t.config.Mount, t.config.Key, t.base.Host, err)
}
