package vault_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const testToken = "hvs.CAESIJRM-Zq7vB9zKp2Wd5"

// server speaks as much of Vault's transit engine as is needed here.
type server struct {
	*httptest.Server

	mu         sync.Mutex // guards what follows
	keys       map[string][]cipher.AEAD
	oldest     int    // min_decryption_version
	sealed     bool   // answers 503
	ignoresAAD bool   // as before Vault 1.13
	mayDecrypt bool   // policy of the token
	namespace  string // in which the mount is
	seen       []string
	intercept  http.HandlerFunc // answers instead
}

func newServer(t *testing.T) *server {
	s := &server{keys: map[string][]cipher.AEAD{"journal": {newGCM(t)}, "other": {newGCM(t)}}, oldest: 1, mayDecrypt: true}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func newGCM(t *testing.T) cipher.AEAD {
	t.Helper()
	var key [32]byte
	rand.Read(key[:])
	block, err := aes.NewCipher(key[:])
	must(t, err)
	gcm, err := cipher.NewGCM(block)
	must(t, err)
	return gcm
}

// set changes the server between requests.
func (s *server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *server) rotate(t *testing.T, key string) {
	gcm := newGCM(t)
	s.set(func() { s.keys[key] = append(s.keys[key], gcm) })
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	intercept := s.intercept
	s.mu.Unlock()
	if intercept != nil {
		intercept(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
	var in struct {
		Plaintext      string `json:"plaintext"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData string `json:"associated_data"`
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch {
	case s.sealed:
		refuse(w, 503, "Vault is sealed")
		return
	case r.Header.Get("X-Vault-Token") != testToken:
		refuse(w, 403, "permission denied")
		return
	case err != nil || r.Method != http.MethodPost:
		refuse(w, 400, "failed to parse JSON input")
		return
	case len(path) != 3 || path[0] != "transit" || r.Header.Get("X-Vault-Namespace") != s.namespace:
		refuse(w, 404, fmt.Sprintf("no handler for route %q. route entry not found.", strings.TrimPrefix(r.URL.Path, "/v1/")))
		return
	case path[1] == "decrypt" && !s.mayDecrypt:
		refuse(w, 403, "1 error occurred:\n\t* permission denied\n\n")
		return
	}
	versions := s.keys[path[2]]
	if versions == nil {
		refuse(w, 400, "encryption key not found")
		return
	}
	aad, err := base64.StdEncoding.DecodeString(in.AssociatedData)
	if err != nil {
		refuse(w, 400, err.Error())
		return
	}
	if s.ignoresAAD {
		aad = nil
	}
	switch path[1] {
	case "encrypt":
		plain, err := base64.StdEncoding.DecodeString(in.Plaintext)
		if err != nil {
			refuse(w, 400, err.Error())
			return
		}
		gcm := versions[len(versions)-1]
		nonce := make([]byte, gcm.NonceSize())
		rand.Read(nonce)
		text := base64.StdEncoding.EncodeToString(gcm.Seal(nonce, nonce, plain, aad))
		answer(w, map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", len(versions), text), "key_version": len(versions)})
	case "decrypt":
		version, text, ok := strings.Cut(strings.TrimPrefix(in.Ciphertext, "vault:v"), ":")
		n, err := strconv.Atoi(version)
		if !ok || err != nil || !strings.HasPrefix(in.Ciphertext, "vault:v") {
			refuse(w, 400, "invalid ciphertext: no prefix")
			return
		}
		if n > len(versions) || n < s.oldest {
			refuse(w, 400, "ciphertext or signature version is disallowed by policy (too old)")
			return
		}
		sealed, err := base64.StdEncoding.DecodeString(text)
		gcm := versions[n-1]
		if err != nil || len(sealed) < gcm.NonceSize() {
			refuse(w, 400, "invalid ciphertext: could not decode base64")
			return
		}
		plain, err := gcm.Open(nil, sealed[:gcm.NonceSize()], sealed[gcm.NonceSize():], aad)
		if err != nil {
			refuse(w, 400, err.Error())
			return
		}
		answer(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)})
	default:
		refuse(w, 404, "unsupported path")
	}
}

func answer(w http.ResponseWriter, data map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "x", "data": data, "warnings": nil})
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": errors})
}
