package keystore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"batpak/faultfs"
)

func golden1(t testing.TB, g Granularity) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "format1", g.String()+".keyset"))
	must(t, err)
	return data
}

// A keyset of format 1 has the same keys for the same scopes afterwards, and is one of format 2.
func TestFormat1IsConverted(t *testing.T) {
	for _, g := range sealing {
		t.Run(g.String(), func(t *testing.T) {
			disk := newDisk(t)
			must(t, faultfs.Publish(disk, fileName, golden1(t, g), perm))
			scopes := fixedScopes(t, g)
			for _, s := range []*Store{load(t, disk, g), load(t, disk, g)} {
				for n, scope := range map[int]Scope{0: scopes[0], 3: scopes[2]} {
					id, _ := fixed(n)
					if k, err := s.Get(scope); err != nil || k.ID() != id {
						t.Fatalf("the key of %s is %v, %v", scope, k, err)
					}
					seal(t, fixedKey(t, n), "text").wantOpens(t, s)
				}
				for _, n := range []int{1, 2} {
					id, _ := fixed(n)
					_, err := s.ByID(id)
					wantErr(t, err, ErrShredded)
				}
				_, err := s.Get(scopes[1])
				wantErr(t, err, ErrShredded)
				if s.Len() != 2 || s.Seen() != 0 {
					t.Fatalf("%d live keys, seen %d", s.Len(), s.Seen())
				}
			}
			data, err := fs.ReadFile(disk, fileName)
			must(t, err)
			_, secret := fixed(0)
			if isFormat1(data) || bytes.Contains(data, secret[:]) {
				t.Fatal("the file is as it was")
			}
		})
	}
}

func TestDamagedFormat1IsRefusedAndLeftAlone(t *testing.T) {
	data := golden1(t, Subject)
	digest := func(b []byte) []byte {
		body := bytes.Clone(b[:len(b)-sha256.Size])
		sum := sha256.Sum256(body)
		return append(body, sum[:]...)
	}
	bad := [][]byte{}
	for i := 10; i < len(data); i++ { // behind magic and format
		b := bytes.Clone(data)
		b[i] ^= 1
		bad = append(bad, b, data[:i])
	}
	for _, at := range []int{10, 11, 12, headerSize1, headerSize1 + 17} {
		b := bytes.Clone(data)
		b[at] ^= 0x40
		bad = append(bad, digest(b))
	}
	for _, b := range bad {
		disk := newDisk(t)
		must(t, faultfs.Publish(disk, fileName, b, perm))
		s, err := Load(t.Context(), disk, Subject, bare)
		if s != nil || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrGranularity) {
			t.Fatalf("%x: %v, %v", b, s, err)
		}
		if after, err := fs.ReadFile(disk, fileName); err != nil || !bytes.Equal(after, b) {
			t.Fatalf("the file was changed: %v", err)
		}
	}
}
