package journal_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/keystore"
)

var update = flag.Bool("update", false, "write testdata/format1.tar.gz and its listing anew: only for a new format")

const golden = "testdata/format1"

// A journal in format 1 opens for ever: as Close left it, and as a killed process left it. Its
// checkpoint and its index files are of older formats: they are made again.
func TestFormat1Opens(t *testing.T) {
	t.Parallel()
	if *update {
		writeGolden(t)
	}
	want, err := os.ReadFile(golden + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"closed", "killed"} {
		dir := tempDir(t)
		place(t, dir, readGolden(t, how))
		var warnings bytes.Buffer
		o := journal.Options{Name: "golden", Seal: keystore.Subject, SegmentBytes: small,
			Logger: slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))}
		j := openDir(t, dir, o)
		if got := listing(t, j); got != string(want) {
			t.Errorf("%s: got\n%swant\n%s", how, got, want)
		}
		if _, err := audit(j); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		retry := goldenBatch()
		if r := mustAppend(t, j, retry); !r[0].Duplicate || r[0].Seq != 1 {
			t.Errorf("%s: retry got %+v", how, r[0])
		}
		mustAppend(t, j, one(event("e", 1)))
		for line := range strings.Lines(warnings.String()) {
			if !strings.Contains(line, "checkpoint not used") || how != "closed" {
				t.Errorf("%s: %s", how, line)
			}
		}
	}
}

func goldenBatch() *journal.Batch {
	a, b := event("e", 1), event("f", 2)
	a.Subject, a.Schema, a.Meta = "person", 2, map[string]string{"origin": "golden"}
	b.Lane = 3
	return keyed("first", a, b)
}

func writeGolden(t *testing.T) {
	d := newDisk(t)
	j := openFS(t, d, journal.Options{Name: "golden", Seal: keystore.Subject, SegmentBytes: small, Clock: fixedClock(1_750_000_000_000)})
	mustAppend(t, j, goldenBatch())
	fill(t, j, 2)
	a := event("e", 3)
	a.Subject, a.Bypass = "other", "as an example"
	mustAppend(t, j, keyed("last", a))
	d.waitFor(func() bool {
		return d.now[strings.Replace(firstSegment, ".seg", ".idx", 1)] != nil && d.now["segments/next.tmp"] == nil
	})
	states := map[string]map[string][]byte{"killed": files(t, d.dir)}
	if err := os.WriteFile(golden+".txt", []byte(listing(t, j)), 0o644); err != nil {
		t.Fatal(err)
	}
	j.Close()
	states["closed"] = files(t, d.dir)
	var b bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	archive := tar.NewWriter(zip)
	for _, how := range []string{"closed", "killed"} {
		for _, name := range slices.Sorted(maps.Keys(states[how])) {
			content := states[how][name]
			if err := archive.WriteHeader(&tar.Header{Name: how + "/" + name, Mode: 0o600, Size: int64(len(content))}); err != nil {
				t.Fatal(err)
			}
			if _, err := archive.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	archive.Close()
	zip.Close()
	if err := os.WriteFile(golden+".tar.gz", b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, how string) map[string][]byte {
	t.Helper()
	b, err := os.ReadFile(golden + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]byte{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return m
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(h.Name, how+"/"); ok {
			m[name] = b
		}
	}
}

// listing is what a journal holds, a line for each event.
func listing(t *testing.T, j *journal.Journal) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", j.Name(), j.Lineage(), j.Seal())
	for ev, err := range j.Events(context.Background(), codec.Selection{}) {
		if err != nil {
			t.Fatal(err)
		}
		data, state, err := j.Payload(&ev)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%d %s %s %d %s %s %q %s %x\n", ev.Seq, ev.ID, ev.Stream(), ev.Version, ev.Time, ev.Hash, ev.Key, state, sha256.Sum256(data))
	}
	return b.String()
}

// reader takes a file apart by the package doc alone.
type reader struct {
	t *testing.T
	b []byte
}

func (r *reader) take(n int) []byte {
	r.t.Helper()
	if n > len(r.b) {
		r.t.Fatalf("%d bytes wanted, %d left", n, len(r.b))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u16() int    { return int(binary.LittleEndian.Uint16(r.take(2))) }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) want(what string, got, want any) {
	r.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func crc(parts ...[]byte) (sum uint32) {
	for _, p := range parts {
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), p)
	}
	return sum
}

// summed checks the checksum at the end of a file, and returns a reader of what is before it.
func summed(t *testing.T, m map[string][]byte, name string) *reader {
	t.Helper()
	b := m[name]
	r := &reader{t, b[len(b)-4:]}
	r.want(name+"'s checksum", r.u32(), crc(b[:len(b)-4]))
	return &reader{t, b[:len(b)-4]}
}

// The files are to the byte what the package doc says.
func TestTheFilesAreAsDocumented(t *testing.T) {
	t.Parallel()
	m := readGolden(t, "closed")

	r := summed(t, m, "journal.meta")
	r.want("magic", string(r.take(8)), "batpkmta")
	r.want("format", r.u32(), 1)
	lineage := causal.Lineage(r.take(16))
	r.want("created", r.u64() > 1_700_000_000_000, true)
	r.want("granularity", r.take(1)[0], byte(keystore.Subject))
	r.want("name", string(r.take(int(r.take(1)[0]))), "golden")
	r.want("rest", len(r.b), 0)

	last := lastSegment(m)
	second := slices.Max([]string{firstSegment, last})
	var events []causal.Event
	offsets := map[string][]uint32{}
	salts := map[string][]byte{}
	for _, name := range []string{firstSegment, second} {
		b := m[name]
		r := &reader{t, b[:64]}
		r.want("magic", string(r.take(8)), "batpkseg")
		r.want("format", r.u32(), 1)
		r.want("first frame", r.u32(), 4096)
		r.want("size", r.u64(), len(b))
		r.want("first event", r.u64(), len(events)+1)
		r.want("name", name, fmt.Sprintf("segments/%016x.seg", len(events)+1))
		r.want("lineage", causal.Lineage(r.take(16)), lineage)
		salt := r.take(8)
		salts[name] = salt
		r.want("zero", r.u32(), 0)
		r.want("checksum", r.u32(), crc(b[:60]))
		r.want("zeros", len(bytes.Trim(b[64:4096], "\x00")), 0)

		off, group, inGroup, epoch := 4096, 4096, 0, 0
		marked := false
		for off+16 <= len(b) && b[off+13] != 0 {
			r := &reader{t, b[off:]}
			length := int(r.u32())
			sum := r.u32()
			rest := r.b[:8]
			synced := int(r.u32())
			r.want("epoch", r.take(1)[0], epoch)
			typ := r.take(1)[0]
			r.want("header checksum", r.take(2), binary.LittleEndian.AppendUint16(nil, uint16(crc(salt, b[off:off+4], b[off+8:off+14]))))
			body := r.take(length)
			r.want("frame checksum", sum, crc(salt, b[off:off+4], rest, body))
			r.want("synced", synced, group)
			next := (off + 16 + length + 7) / 8 * 8
			r.want("padding", len(bytes.Trim(b[off+16+length:next], "\x00")), 0)
			switch marked = typ == 3; typ {
			case 1:
				ev, err := codec.DecodeEnvelope(body)
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, ev)
				offsets[name] = append(offsets[name], uint32(off))
				inGroup++
			case 2:
				c := &reader{t, body}
				c.want("first of the group", c.u64(), len(events)-inGroup+1)
				c.want("events of the group", c.u32(), inGroup)
				c.want("checksum of the group", c.u32(), crc(b[group:off]))
				c.want("rest", len(c.b), 0)
				group, inGroup = next, 0
			case 3:
				r.want("body of a mark", length, 0)
				group = next
			default:
				t.Fatalf("type %d", typ)
			}
			off = next
		}
		r.want("zeros", len(bytes.Trim(b[off:], "\x00")), 0)
		if name == second && !marked {
			t.Error("no mark at the end")
		}
	}

	n := len(offsets[firstSegment])
	dir := tempDir(t)
	place(t, dir, m)
	if _, err := look(t, dir, journal.Options{Name: "golden", SegmentBytes: small}); err != nil {
		t.Fatal(err)
	}
	made := files(t, dir)
	index := made[strings.Replace(firstSegment, ".seg", ".idx", 1)]
	r = &reader{t, index}
	block := func(what string, fill func()) {
		at, before := len(index)-len(r.b), r.b
		fill()
		body := before[:len(before)-len(r.b)]
		r.want(what+"'s checksum", r.u32(), crc(salts[firstSegment], binary.LittleEndian.AppendUint64(nil, uint64(at)), body))
	}
	postings := postingsOf(events[:n])
	block("header", func() {
		r.want("magic", string(r.take(8)), "batpkidx")
		r.want("format", r.u32(), 4)
		r.want("events", r.u32(), n)
		r.want("first event", r.u64(), 1)
		r.want("salt", r.take(8), salts[firstSegment])
		r.want("first id", causal.EventID(r.take(16)), events[0].ID)
		r.want("last id", causal.EventID(r.take(16)), events[n-1].ID)
		r.want("postings", r.u32(), len(postings))
	})
	block("offsets", func() {
		for _, off := range offsets[firstSegment] {
			r.want("offset", r.u32(), off)
		}
	})
	block("ids", func() {
		for i := range n {
			r.want("id", causal.EventID(r.take(16)), events[i].ID)
		}
	})
	block("postings", func() {
		for _, p := range postings {
			r.want("posting", posting{r.u64(), r.u32()}, p)
		}
	})
	r.want("rest", len(r.b), 0)

	heads := map[causal.Stream]causal.Head{}
	keys := map[string]uint64{}
	for i := range events {
		ev := &events[i]
		heads[ev.Stream()] = heads[ev.Stream()].Next(&ev.Header, ev.Hash)
		if ev.Key != "" {
			b := append([]byte{}, lineage[:]...)
			b = binary.BigEndian.AppendUint16(b, uint16(len(ev.Scope)))
			sum := sha256.Sum256(append(b, ev.Scope+ev.Key...))
			keys[string(sum[:16])] = ev.Seq
		}
	}
	r = summed(t, made, "checkpoint")
	r.want("magic", string(r.take(8)), "batpkchk")
	r.want("format", r.u32(), 2)
	r.want("lineage", causal.Lineage(r.take(16)), lineage)
	r.want("last event", r.u64(), len(events))
	r.want("streams", r.u64(), len(heads))
	for range heads {
		var s causal.Stream
		s.Scope = string(r.take(r.u16()))
		s.Entity = string(r.take(r.u16()))
		s.Lane = r.u32()
		h := heads[s]
		r.want("sequence", r.u64(), h.Seq)
		r.want("version", r.u64(), h.Version)
		r.want("hash", causal.Hash(r.take(32)), h.Hash)
	}
	r.want("generations", r.u32(), 1)
	r.want("youngest key", r.u64(), events[len(events)-1].Time.Millis)
	r.want("keys", r.u64(), len(keys))
	for range keys {
		seq := keys[string(r.take(16))]
		r.want("event of a key", r.u64(), seq)
	}
	sealed := map[causal.KeyID]int{}
	for i := range events {
		if enc := events[i].Enc; enc != nil {
			sealed[enc.Key]++
		}
	}
	r.want("payload keys", r.u64(), len(sealed))
	for _, id := range slices.SortedFunc(maps.Keys(sealed), func(a, b causal.KeyID) int { return bytes.Compare(a[:], b[:]) }) {
		r.want("payload key", causal.KeyID(r.take(16)), id)
		r.want("events under it", r.u64(), sealed[id])
	}
	r.want("rest", len(r.b), 0)
}
