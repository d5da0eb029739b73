package keystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/cryptotest"

	"batpak/faultfs"
)

var update = flag.Bool("update", false, "write the golden files under testdata")

func golden(t testing.TB, g Granularity) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", g.String()+".keyset"))
	must(t, err)
	return data
}

// written is a keyset that has, in this order, three scopes: one with a live key, one that was
// destroyed, and one that was destroyed and renewed; and eight spares. The log was seen up to 7.
func written(t *testing.T, g Granularity) []byte {
	cryptotest.SetGlobalRandom(t, 1)
	disk := newDisk(t)
	s, err := New(t.Context(), disk, g, Options{Reserve: 2})
	must(t, err)
	defer s.Close()
	if g != None {
		scopes := fixedScopes(t, g)
		for _, scope := range scopes {
			mintKey(t, s, scope)
		}
		must(t, s.Flush())
		for _, scope := range scopes[1:] {
			_, err := s.Destroy(scope)
			must(t, err)
		}
		must(t, s.Flush())
		_, err = s.Renew(scopes[2])
		must(t, err)
		must(t, s.Reserve())
	}
	s.SetSeen(7)
	must(t, s.Flush())
	data, err := fs.ReadFile(disk, fileName)
	must(t, err)
	return data
}

func TestFormatIsTheGoldenBytes(t *testing.T) {
	for g := None; g <= Subject; g++ {
		t.Run(g.String(), func(t *testing.T) {
			got := written(t, g)
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
			for _, scope := range []Scope{scopes[0], scopes[2]} {
				k, err := s.Get(scope)
				must(t, err)
				seal(t, k, "text").wantOpens(t, s)
			}
			_, err := s.Get(scopes[1])
			wantErr(t, err, ErrShredded)
			want := Stats{Granularity: g, Method: Clear, Live: 2, Destroyed: 2, Spare: 8}
			if got := s.Stats(); got != want || s.Seen() != 7 {
				t.Fatalf("loaded %+v, seen %d, want %+v", got, s.Seen(), want)
			}
			if got, err := Inspect(disk); got != want || err != nil {
				t.Fatalf("inspected %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// The layout as doc.go has it, written down a second time.
func TestFormatAsDocumented(t *testing.T) {
	b := golden(t, Entity)
	sum := sha256.Sum256(b[:4064])
	if string(b[:12]) != "batpakks\x00\x02\x02\x00" || !bytes.Equal(b[4064:4096], sum[:]) {
		t.Fatalf("the header is %x", b[:4096])
	}
	file := b[12:28]
	if string(b[44:50]) != "\x05clear" || binary.BigEndian.Uint16(b[50:]) != 32 {
		t.Fatalf("the wrapping is %x", b[44:52])
	}
	crc := func(place uint64, b []byte) uint32 {
		whole := append(binary.BigEndian.AppendUint64(bytes.Clone(file), place), b...)
		return crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli))
	}
	numbers := [2]uint64{}
	for i, off := range []uint64{4096, 8192} {
		page := b[off:]
		numbers[i] = binary.BigEndian.Uint64(page)
		if binary.BigEndian.Uint32(page[36:]) != crc(off, page[:36]) || numbers[i]%2 != uint64(i) {
			t.Fatalf("the state at %d is %x", off, page[:40])
		}
	}
	newer := b[4096:]
	if numbers[1] > numbers[0] {
		newer = b[8192:]
	}
	count := binary.BigEndian.Uint64(newer[8:])
	if seen := binary.BigEndian.Uint64(newer[16:]); seen != 7 || len(b) != 12288+80*int(count) {
		t.Fatalf("seen %d, %d records in %d bytes", seen, count, len(b))
	}
	types := ""
	for i := range count {
		r := b[12288+80*i:][:80]
		whole := binary.BigEndian.Uint32(r) == crc(i, r[4:])
		if gone := r[4] == 1 && allZero(r[32:]); whole == gone {
			t.Fatalf("record %d is %x", i, r)
		}
		types += string('0' + rune(r[4]))
	}
	// Two spares, two bindings, a key and its binding; two destructions; a key and its binding, eight spares.
	if types != "112212"+"33"+"12"+"11111111" {
		t.Fatalf("the records are of types %s", types)
	}
}

// wantRefused is that the bytes give an error of this kind that names the file,
// and no store.
func wantRefused(t *testing.T, disk faultfs.FS, data []byte, g Granularity, want error) {
	t.Helper()
	must(t, faultfs.Publish(disk, fileName, data, perm))
	s, err := Load(t.Context(), disk, g, bare)
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

// signed makes the digest and the checksums right: bytes that somebody wrote on purpose, or a program with a
// defect.
func signed(data []byte) []byte {
	data = bytes.Clone(data)
	if len(data) < recordStart {
		return data
	}
	sum := sha256.Sum256(data[:pageSize-sha256.Size])
	copy(data[pageSize-sha256.Size:], sum[:])
	file := salt(data[12:28])
	for off := pageSize; off < recordStart; off += pageSize {
		binary.BigEndian.PutUint32(data[off+stateSize-4:], stateSum(data[off:], file, int64(off)))
	}
	for n, r := uint64(0), data[recordStart:]; len(r) >= recordSize; n, r = n+1, r[recordSize:] {
		binary.BigEndian.PutUint32(r, checksum(file, n, r[4:recordSize]))
	}
	return data
}

func TestIntactChecksumsDoNotExcuseBadContents(t *testing.T) {
	disk := newDisk(t)
	one := golden(t, Subject)
	edit := func(at int, b ...byte) []byte {
		data := bytes.Clone(one)
		copy(data[at:], b)
		return signed(data)
	}
	rec := func(n int) int { return recordStart + n*recordSize }
	second := one[rec(1)+16:][:16] // an id
	for what, data := range map[string][]byte{
		"reserved byte":       edit(11, 1),
		"unknown granularity": edit(10, 7),
		"method too long":     edit(44, 0xff),
		"no method":           edit(44, 0),
		"wrapped too long":    edit(50, 0xff, 0xff),
		"no wrapped key":      edit(50, 0, 0),
		"unknown type":        edit(rec(2)+4, 4),
		"padding in a record": edit(rec(2)+5, 1),
		"same key twice":      edit(rec(0)+16, second...),
		"key of two scopes":   edit(rec(3)+16, one[rec(2)+16:][:16]...),
	} {
		t.Run(what, func(t *testing.T) { wantRefused(t, disk, data, Subject, ErrDamaged) })
	}
	wantRefused(t, disk, edit(9, 3), Subject, ErrFormat)
	must(t, faultfs.Publish(disk, fileName, signed(edit(9, 2)), perm))
}

func TestClaimedCountAllocatesLittle(t *testing.T) {
	data := golden(t, Category)
	for off := pageSize; off < recordStart; off += pageSize {
		binary.BigEndian.PutUint64(data[off+8:], 1<<31)
	}
	disk := newDisk(t)
	must(t, faultfs.Publish(disk, fileName, signed(data), perm))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Load(t.Context(), disk, Category, bare)
	runtime.ReadMemStats(&after)
	wantErr(t, err, ErrDamaged)
	if n := after.TotalAlloc - before.TotalAlloc; n > 128<<10 {
		t.Fatalf("%d bytes were allocated for a file of %d", n, len(data))
	}
}

// Whatever the bytes are, loading them gives a keyset that goes on, or a typed refusal.
func FuzzLoad(f *testing.F) {
	for g := None; g <= Subject; g++ {
		f.Add(golden(f, g))
		f.Add(golden1(f, g))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, signed(data)} {
			g := Entity
			if len(data) > 10 && Granularity(data[10]).valid() {
				g = Granularity(data[10])
			}
			m := faultfs.NewDisk(faultfs.POSIX).Mount()
			must(t, faultfs.Publish(m, fileName, data, perm))
			s, err := Load(t.Context(), m, g, bare)
			if err != nil {
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrGranularity) && !errors.Is(err, ErrWrapped) {
					t.Fatalf("untyped error %v", err)
				}
				continue
			}
			defer s.Close()
			if g != None {
				_, err = s.GetOrCreate(fixedScopes(t, g)[0])
				if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrShredded) {
					t.Fatal(err)
				}
			}
			must(t, s.Flush())
			was := s.Stats()
			if again := load(t, m, g).Stats(); again != was {
				t.Fatalf("loaded %+v, flushed %+v", again, was)
			}
		}
	})
}
