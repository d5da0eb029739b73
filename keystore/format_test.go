package keystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
)

var update = flag.Bool("update", false, "write the golden files under testdata")

func golden(t testing.TB, g Granularity) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", g.String()+".keyset"))
	must(t, err)
	return data
}

func TestFormatIsTheGoldenBytes(t *testing.T) {
	for g := None; g <= Subject; g++ {
		t.Run(g.String(), func(t *testing.T) {
			got := encode(g, fixedStore(t, g).keys)
			if *update {
				must(t, os.WriteFile(filepath.Join("testdata", g.String()+".keyset"), got, 0o644))
			}
			if want := golden(t, g); !bytes.Equal(got, want) {
				t.Fatalf("encoded to\n%x, want\n%x", got, want)
			}
		})
	}
}

func TestGoldenBytesLoad(t *testing.T) {
	for _, g := range sealing {
		t.Run(g.String(), func(t *testing.T) {
			disk := newDisk(t)
			must(t, faultfs.Publish(disk, fileName, golden(t, g), perm))
			s := load(t, disk, g)
			scopes := fixedScopes(t, g)
			live, err := s.Get(scopes[0])
			must(t, err)
			if live.ID() != fixedKey(t, 0, scopes[0]).ID() || live.Scope() != scopes[0] {
				t.Fatalf("loaded %v of %s", live, live.Scope())
			}
			seal(t, fixedKey(t, 0, scopes[0]), "text").wantOpens(t, s)
			_, err = s.Get(scopes[1])
			wantErr(t, err, ErrShredded)
			seal(t, fixedKey(t, 3, scopes[2]), "text").wantOpens(t, s)
			_, err = s.ByID(fixedKey(t, 2, scopes[2]).ID())
			wantErr(t, err, ErrShredded)
			if s.Len() != 2 {
				t.Fatalf("%d live keys, want 2", s.Len())
			}
		})
	}
}

// The layout as doc.go has it, written down a second time.
func TestFormatAsDocumented(t *testing.T) {
	s := fixedStore(t, Entity)
	var want []byte
	want = append(want, "batpakks\x00\x01\x02\x00\x00\x00\x00\x04"...)
	for i, k := range s.keys {
		state := []byte{1, 2, 2, 1}[i]
		name, entity := []string{"tenant", "tenant", "ténant", "ténant"}[i], []string{"order-1", "order-2", "3", "3"}[i]
		want = append(want, state)
		want = append(want, k.id[:]...)
		want = append(want, 0, byte(len(name)))
		want = append(want, name...)
		want = append(want, 0, byte(len(entity)))
		want = append(want, entity...)
		if state == 1 {
			want = append(want, k.secret[:]...)
		}
	}
	sum := sha256.Sum256(want)
	if want = append(want, sum[:]...); !bytes.Equal(encode(Entity, s.keys), want) {
		t.Fatalf("encoded to\n%x, want\n%x", encode(Entity, s.keys), want)
	}
}

// A buffer that grows leaves copies of keys behind that nobody wipes.
func TestEncodingNeverGrowsItsBuffer(t *testing.T) {
	for _, g := range sealing {
		got := encode(g, []*Key{fixedKey(t, 1, fixedScopes(t, g)[0]), fixedKey(t, 2, fixedScopes(t, g)[1])})
		if len(got) != cap(got) {
			t.Errorf("%s: %d live bytes in a buffer of %d", g, len(got), cap(got))
		}
	}
}

// wantRefused is that the bytes give an error of this kind that names the file,
// and no store.
func wantRefused(t *testing.T, disk faultfs.FS, data []byte, g Granularity, want error) {
	t.Helper()
	must(t, faultfs.Publish(disk, fileName, data, perm))
	s, err := Load(disk, g)
	wantErr(t, err, want)
	if s != nil {
		t.Fatal("a store came with the error")
	}
	if !strings.Contains(err.Error(), fileName) {
		t.Fatalf("%v does not name the file", err)
	}
	if damage := (*DamageError)(nil); want == ErrDamaged && (!errors.As(err, &damage) || damage.File != fileName) {
		t.Fatalf("%v is not a DamageError with the file", err)
	}
}

func TestOtherGranularityIsRefused(t *testing.T) {
	disk := newDisk(t)
	for has := None; has <= Subject; has++ {
		for want := None; want <= Subject; want++ {
			if has != want {
				wantRefused(t, disk, golden(t, has), want, ErrGranularity)
			}
		}
	}
}

// withDigest replaces the digest by the right one: bytes that somebody wrote on
// purpose, or a program with a defect.
func withDigest(data []byte) []byte {
	if len(data) < sha256.Size {
		return data
	}
	body := bytes.Clone(data[:len(data)-sha256.Size])
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

func TestIntactDigestDoesNotExcuseBadContents(t *testing.T) {
	disk := newDisk(t)
	s := fixedStore(t, Subject)
	file := func(keys ...*Key) []byte { return encode(Subject, keys) }
	edit := func(data []byte, at int, b ...byte) []byte {
		data = bytes.Clone(data)
		copy(data[at:], b)
		return withDigest(data)
	}
	one := file(s.keys[0])
	name := headerSize + 1 + 16 // the offset of the subject's length
	for what, data := range map[string][]byte{
		"reserved byte":         edit(one, 11, 1),
		"unknown granularity":   edit(one, 10, 7),
		"count too large":       edit(one, 12, 0xff, 0xff, 0xff, 0xff),
		"count one too large":   edit(one, 12, 0, 0, 0, 2),
		"count too small":       edit(one, 12, 0, 0, 0, 0),
		"unknown state":         edit(one, headerSize, 3),
		"live said destroyed":   edit(one, headerSize, stateDestroyed),
		"destroyed said live":   edit(file(s.keys[1]), headerSize, stateLive),
		"empty name":            edit(one, name, 0, 0),
		"name past the end":     edit(one, name, 0xff, 0xff),
		"name into the key":     edit(one, name, 0, 40),
		"same key twice":        file(s.keys[0], s.keys[0]),
		"same id in two scopes": file(s.keys[0], &Key{id: s.keys[0].id, scope: subject("x"), dead: true}),
		"two live keys":         file(s.keys[0], fixedKey(t, 9, s.keys[0].scope)),
		"name too long":         file(fixedKey(t, 9, subject(strings.Repeat("x", causal.MaxName+1)))),
	} {
		t.Run(what, func(t *testing.T) { wantRefused(t, disk, data, Subject, ErrDamaged) })
	}
	wantRefused(t, disk, edit(one, 9, 2), Subject, ErrFormat)
	must(t, faultfs.Publish(disk, fileName, withDigest(one), perm)) // the control
	load(t, disk, Subject)
}

func TestClaimedCountAllocatesNothing(t *testing.T) {
	data := golden(t, Category)
	binary.BigEndian.PutUint32(data[12:], math.MaxUint32)
	data = withDigest(data)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, _ := empty(nil, Category)
	wantErr(t, s.decode(data), ErrDamaged)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
		t.Fatalf("%d bytes were allocated for a file of %d", n, len(data))
	}
}

// What decodes encodes to the same bytes, and every refusal is typed.
func FuzzDecode(f *testing.F) {
	for g := None; g <= Subject; g++ {
		f.Add(golden(f, g))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, withDigest(data)} {
			g := Entity
			if len(data) > 10 && Granularity(data[10]).valid() {
				g = Granularity(data[10])
			}
			s, err := empty(nil, g)
			must(t, err)
			was := bytes.Clone(data)
			err = s.decode(data)
			if !bytes.Equal(data, was) {
				t.Fatal("decoding changed the bytes")
			}
			switch {
			case err == nil:
				if again := encode(g, s.keys); !bytes.Equal(again, data) {
					t.Fatalf("%x decodes and encodes to %x", data, again)
				}
			case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrGranularity):
				t.Fatalf("untyped error %v", err)
			}
		}
	})
}
