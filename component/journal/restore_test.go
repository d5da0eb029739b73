package journal_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

const changes = faultfs.OpCreate | faultfs.OpWrite | faultfs.OpRename | faultfs.OpRemove | faultfs.OpMkdir | faultfs.OpSync |
	faultfs.OpSyncData | faultfs.OpSyncDir | faultfs.OpTruncate | faultfs.OpAllocate

var errDisk = errors.New("the disk failed")

// tarOf is a backup as a stream.
func tarOf(t testing.TB, src faultfs.FS, keys bool) ([]byte, journal.Copied) {
	t.Helper()
	var b bytes.Buffer
	c, err := journal.BackupTar(context.Background(), src, &b, journal.BackupOptions{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), c
}

// isNoJournal says what is served of a folder into which a copy did not get through. A journal that is made in
// an empty folder is another one.
func isNoJournal(fsys faultfs.FS, copied causal.Lineage) error {
	for _, name := range []string{"", "backup"} {
		j, err := journal.Open(context.Background(), fsys, journal.Options{Name: name, SegmentBytes: smallest})
		if err != nil {
			continue
		}
		head, lineage := j.Visible(), j.Lineage()
		if err := j.Close(); err != nil {
			return err
		}
		if name == "" || head > 0 || lineage == copied {
			return fmt.Errorf("opened as %q, at %d", name, head)
		}
	}
	return nil
}

// A copy that is interrupted at any operation of its disk, by an error, an error that stays, or a loss of power, is
// never taken for a journal, and is whole when it is one.
func TestACopyThatIsInterruptedIsNeverTakenForAJournal(t *testing.T) {
	t.Parallel()
	src := smallJournal(t, backedUp)
	stream, c := tarOf(t, src, true)
	for what, do := range map[string]func(to faultfs.FS) error{
		"backup": func(to faultfs.FS) error {
			_, err := journal.Backup(context.Background(), src, to, journal.BackupOptions{Keys: true})
			return err
		},
		"restore": func(to faultfs.FS) error {
			_, err := journal.RestoreTar(context.Background(), bytes.NewReader(stream), to, journal.RestoreOptions{})
			return err
		},
	} {
		whole, ops := 0, 0
		for n, done := 1, false; !done; n++ {
			for _, how := range []string{"error", "dead", "crash"} {
				m := faultfs.NewDisk(faultfs.POSIX).Mount()
				in := faultfs.Inject(m, faultfs.Rule{On: changes, Nth: n, Sticky: how != "error", Do: faultfs.Fail(errDisk)})
				err := do(in)
				if done = err == nil && in.Count(changes) < n; done {
					break
				}
				ops++
				var after faultfs.FS = m
				if how == "crash" {
					after = m.Crash(faultfs.Seeded(uint64(n))).Mount()
				}
				j, openErr := journal.Open(context.Background(), after, journal.Options{})
				if openErr == nil { // only its last operations failed
					events, e := audit(j)
					if e != nil || uint64(len(events)) != c.Head || events[len(events)-1].Hash != c.Hash {
						t.Errorf("%s, %s at %d: a journal of %d events, %v", what, how, n, len(events), e)
					}
					if how == "error" && err != nil {
						t.Errorf("%s, %s at %d: %v, and there is a journal", what, how, n, err)
					}
					whole++
					j.Close()
					continue
				}
				if err == nil {
					t.Errorf("%s, %s at %d: no error, and no journal: %v", what, how, n, openErr)
				}
				if e := isNoJournal(after, c.Lineage); e != nil {
					t.Errorf("%s, %s at %d: %v", what, how, n, e)
				}
			}
		}
		t.Logf("%s: %d interruptions, whole after %d", what, ops, whole)
	}
}

func TestAFullDiskLeavesNothing(t *testing.T) {
	t.Parallel()
	src := smallJournal(t, backedUp)
	stream, _ := tarOf(t, src, true)
	for _, room := range []int64{0, 100, 5000, 20000, 50000} {
		to := realDir(t, tempDir(t))
		in := faultfs.Inject(to, faultfs.Rule{On: faultfs.OpWrite | faultfs.OpAllocate, Do: faultfs.Quota(room)})
		if _, err := journal.Backup(t.Context(), src, in, journal.BackupOptions{}); err == nil {
			t.Errorf("backed up into %d bytes", room)
		}
		wantNames(t, to)
		if _, err := journal.RestoreTar(t.Context(), bytes.NewReader(stream), in, journal.RestoreOptions{}); err == nil {
			t.Errorf("restored into %d bytes", room)
		}
		wantNames(t, to)
	}
}

// notRestored restores what is not a good backup.
func notRestored(t testing.TB, what string, stream []byte) {
	t.Helper()
	to := realDir(t, tempDir(t))
	_, err := journal.RestoreTar(context.Background(), bytes.NewReader(stream), to, journal.RestoreOptions{})
	var bad *journal.BackupError
	if !errors.As(err, &bad) || !errors.Is(err, journal.ErrBackup) {
		t.Errorf("%s: %v", what, err)
	}
	wantNames(t, to)
}

func TestATarThatWasCutIsRefused(t *testing.T) {
	t.Parallel()
	for _, keys := range []bool{true, false} {
		stream, _ := tarOf(t, smallJournal(t, backedUp), keys)
		end := contents(t, stream)["journal.meta"] + 20 // what ends the stream behind the meta is no part of the backup
		lengths := []int{0, 1, end - 1, end}
		for n := 512; n < end; n += 512 * 7 {
			lengths = append(lengths, n, n-1, n+100)
		}
		for _, n := range lengths {
			notRestored(t, fmt.Sprintf("%d bytes of %d", n, len(stream)), stream[:n])
		}
	}
}

// In all frames, headers and checksums of segments, and in the keyset, a flipped byte is noticed.
func TestATarWithAFlippedByteIsRefused(t *testing.T) {
	t.Parallel()
	stream, _ := tarOf(t, smallJournal(t, backedUp), true)
	tried := 0
	for name, at := range contents(t, stream) {
		var offs []int
		switch {
		case strings.HasSuffix(name, ".seg"):
			_, end := spans(stream[at:])
			for off := firstFrame; off < end-16; off += 97 {
				offs = append(offs, off)
			}
			offs = append(offs, 0, 9, 20, 30, 40, 50, 60)
		case name == "journal.meta":
			offs = []int{0, 9, 13, 30, 36, 37, 38}
		case name == "keys/keyset":
			offs = []int{0, 8, 11, 50, 3*4096 + 30, 3*4096 + 85}
		}
		for _, off := range offs {
			b := bytes.Clone(stream)
			b[at+off] ^= 1
			tried++
			to := realDir(t, tempDir(t))
			_, err := journal.RestoreTar(context.Background(), bytes.NewReader(b), to, journal.RestoreOptions{})
			if err == nil {
				t.Errorf("%s flipped at %d: restored", name, off)
				continue
			}
			wantNames(t, to)
		}
	}
	t.Logf("%d bytes", tried)
}

// contents says where in a stream the files are.
func contents(t testing.TB, stream []byte) map[string]int {
	t.Helper()
	at := map[string]int{}
	r := bytes.NewReader(stream)
	files := tar.NewReader(r)
	for {
		h, err := files.Next()
		if err == io.EOF {
			return at
		}
		if err != nil {
			t.Fatal(err)
		}
		at[h.Name] = len(stream) - r.Len()
	}
}

// member is a file of a stream that is made by hand.
type member struct {
	tar.Header
	data []byte
}

func remade(t testing.TB, members []member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if m.Size == 0 {
			m.Size = int64(len(m.data))
		}
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil { // one with too little data stays as it is
		return b.Bytes()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func membersOf(t testing.TB, stream []byte) (members []member) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(stream))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member{tar.Header{Typeflag: h.Typeflag, Name: h.Name, Mode: h.Mode, Format: h.Format}, data})
	}
}

func TestAHostileTarIsRefused(t *testing.T) {
	t.Parallel()
	stream, _ := tarOf(t, smallJournal(t, backedUp), true)
	good := membersOf(t, stream)
	to := realDir(t, tempDir(t))
	if _, err := journal.RestoreTar(t.Context(), bytes.NewReader(remade(t, good)), to, journal.RestoreOptions{}); err != nil {
		t.Fatal(err) // the control
	}
	last := len(good) - 1
	with := func(change func(m []member) []member) []byte {
		return remade(t, change(append([]member(nil), good...)))
	}
	insert := func(at int, m member) []byte {
		return with(func(all []member) []member {
			return append(all[:at:at], append([]member{m}, all[at:]...)...)
		})
	}
	plain := func(name string, data string) member {
		return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600}, []byte(data)}
	}
	for _, name := range []string{"../escaped", "/etc/escaped", "segments/../../escaped", "segments/0000000000000000.seg", "segments/00000000000000FF.seg",
		"segments/0000000000000002.seg/x", "./journal.meta", "keys/keyset.tmp", "keys/../journal.meta", "checkpoint", "segments/0000000000000001.idx", "LOCK", strings.Repeat("x", 90)} {
		for _, at := range []int{0, 1, last, last + 1} {
			notRestored(t, name, insert(at, plain(name, "x")))
		}
	}
	for what, typ := range map[string]byte{"symbolic link": tar.TypeSymlink, "hard link": tar.TypeLink, "folder": tar.TypeDir, "device": tar.TypeChar} {
		m := member{tar.Header{Typeflag: typ, Name: "segments/00000000000000ff.seg", Linkname: "/etc/passwd"}, nil}
		notRestored(t, what, insert(1, m))
	}
	pax := plain("segments/00000000000000ff.seg", strings.Repeat("x", 20000))
	pax.PAXRecords = map[string]string{"BATPAK.x": "y"}
	notRestored(t, "extension", insert(1, pax))
	notRestored(t, "a segment twice", insert(1, good[0]))
	notRestored(t, "meta twice", insert(last+1, good[last]))
	notRestored(t, "keys twice", insert(last, good[last-2]))
	notRestored(t, "a segment too small", insert(1, plain("segments/0000000000000002.seg", "x")))
	huge := plain("segments/0000000000000002.seg", "")
	huge.Size = 1<<32 + 1
	notRestored(t, "a segment too large", remade(t, append(good[:1:1], huge)))
	claimed := plain("segments/0000000000000002.seg", "little")
	claimed.Size = 1 << 32
	notRestored(t, "a segment that is not there", remade(t, append(good[:1:1], claimed)))
	notRestored(t, "meta first", with(func(m []member) []member { return append([]member{m[last]}, m[:last]...) }))
	notRestored(t, "without keys, of which it says it has them", with(func(m []member) []member { return append(m[:last-2:last-2], m[last-1:]...) }))
	notRestored(t, "without its first segment", with(func(m []member) []member { return m[1:] }))
	notRestored(t, "without its second segment", with(func(m []member) []member { return append(m[:1:1], m[2:]...) }))
	notRestored(t, "without its last segment", with(func(m []member) []member { return append(m[:last-3:last-3], m[last-2:]...) }))
	notRestored(t, "no tar", bytes.Repeat([]byte("not a tar"), 1000))
	notRestored(t, "a large manifest", with(func(m []member) []member {
		m[last-1].data = bytes.Repeat([]byte(" "), 5000)
		return m
	}))
	notRestored(t, "a manifest of something else", with(func(m []member) []member {
		m[last-1].data = []byte(`{"format":1,"x":2}`)
		return m
	}))
	other, _ := tarOf(t, smallJournal(t, backedUp), true)
	notRestored(t, "the manifest and the meta of another journal", with(func(m []member) []member {
		o := membersOf(t, other)
		return append(m[:last-1:last-1], o[last-1:]...)
	}))
}

func TestRestoreGoesIntoAnEmptyFolderOnly(t *testing.T) {
	t.Parallel()
	src := smallJournal(t, backedUp)
	stream, _ := tarOf(t, src, true)
	to := realDir(t, tempDir(t))
	for i := range 2 {
		_, err := journal.RestoreTar(t.Context(), bytes.NewReader(stream), to, journal.RestoreOptions{})
		if i == 0 && err != nil || i == 1 && !errors.Is(err, journal.ErrNotEmpty) {
			t.Errorf("restore %d: %v", i, err)
		}
	}
	openFS(t, to, journal.Options{}) // the first one is untouched
	if _, err := journal.Restore(t.Context(), src, realDir(t, tempDir(t)), journal.RestoreOptions{}); !errors.Is(err, journal.ErrBackup) {
		t.Errorf("from a journal that is no backup: %v", err)
	}
	if _, err := journal.Restore(t.Context(), realDir(t, tempDir(t)), realDir(t, tempDir(t)), journal.RestoreOptions{}); !errors.Is(err, journal.ErrBackup) {
		t.Errorf("from nothing: %v", err)
	}
}

// The keys of one backup with the log of a later one: what was erased in between stays erased.
func TestRestoreOfAnOlderKeyset(t *testing.T) {
	t.Parallel()
	src := realDir(t, tempDir(t))
	j := openFS(t, src, backedUp)
	mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", 1), event("b", 2)}})
	older, _ := tarOf(t, src, true)
	mustShred(t, j, erasureOf("a"))
	newer, _ := tarOf(t, src, true)
	o, n := membersOf(t, older), membersOf(t, newer)
	n[len(n)-3] = o[len(o)-3]
	if n[len(n)-3].Name != "keys/keyset" {
		t.Fatal(n[len(n)-3].Name)
	}
	to := realDir(t, tempDir(t))
	if _, err := journal.RestoreTar(t.Context(), bytes.NewReader(remade(t, n)), to, journal.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	wantStates(t, openFS(t, to, journal.Options{}), causal.Shredded, causal.Opened, causal.Plain)
}

// Erasures from after the backup are applied before there is a journal.
func TestErasuresFromBeyondTheBackupAreApplied(t *testing.T) {
	t.Parallel()
	src := realDir(t, tempDir(t))
	j := openFS(t, src, backedUp)
	mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", 1), event("b", 2)}})
	stream, c := tarOf(t, src, true)
	mustAppend(t, j, one(event("later", 1)))
	mustShred(t, j, erasureOf("a"))
	mustShred(t, j, erasureOf("a")) // destroys nothing
	mustShred(t, j, erasureOf("later"))
	var records []journal.ErasureRecord
	for r, err := range j.Erasures(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	for _, fails := range []error{errDisk, nil} {
		to := realDir(t, tempDir(t))
		r, err := journal.RestoreTar(t.Context(), bytes.NewReader(stream), to, journal.RestoreOptions{
			Beyond: func(_ context.Context, j *journal.Journal) ([]journal.ErasureRecord, error) {
				if j.Visible() != c.Head || j.Lineage() != c.Lineage {
					t.Errorf("it is at %d", j.Visible())
				}
				return records, fails
			},
		})
		if !errors.Is(err, fails) {
			t.Fatal(err)
		}
		if fails != nil {
			wantNames(t, to)
			continue
		}
		if r.Erasures != 3 || r.Destroyed != 2 || r.Head != 2 {
			t.Errorf("got %+v", r)
		}
		j := openFS(t, to, journal.Options{})
		wantStates(t, j, causal.Shredded, causal.Opened)
		for _, entity := range []string{"a", "later"} {
			if err := appendErr(j, one(event(entity, 3))); !errors.Is(err, journal.ErrErased) {
				t.Errorf("append to %s: %v", entity, err)
			}
		}
		mustAppend(t, j, one(renewing(event("a", 4))))
	}
}

func TestRestoreOfAWrappedKeysetNeedsItsWrapper(t *testing.T) {
	t.Parallel()
	w, err := keystore.NewRawKey(&[keystore.KeySize]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	o := backedUp
	o.Keys.Wrapper = w
	src := smallJournal(t, o)
	for _, keys := range []bool{true, false} {
		stream, _ := tarOf(t, src, keys)
		to := realDir(t, tempDir(t))
		_, err := journal.RestoreTar(t.Context(), bytes.NewReader(stream), to, journal.RestoreOptions{})
		if keys {
			if !errors.Is(err, keystore.ErrWrapped) {
				t.Errorf("without the wrapper: %v", err)
			}
			wantNames(t, to)
		} else if err != nil {
			t.Error(err)
		}
		to = realDir(t, tempDir(t))
		if _, err = journal.RestoreTar(t.Context(), bytes.NewReader(stream), to, journal.RestoreOptions{Keys: o.Keys}); err != nil {
			t.Fatal(err)
		}
		if s, err := keystore.Inspect(faultfs.Sub(to, "keys")); err != nil || s.Method != w.Method() {
			t.Errorf("keys %v: %+v, %v", keys, s, err)
		}
	}
}

func FuzzRestoreTar(f *testing.F) {
	src := realDir(f, tempDir(f))
	j := openFS(f, src, journal.Options{Name: "fuzz", Seal: keystore.Entity, SegmentBytes: smallest, Keys: keystore.Options{Reserve: -1}})
	mustAppend(f, j, &journal.Batch{Events: []journal.Append{event("a", 1), event("b", 2)}})
	mustShred(f, j, erasureOf("a"))
	for _, keys := range []bool{true, false} {
		stream, _ := tarOf(f, src, keys)
		f.Add(stream)
		f.Add(stream[:len(stream)/2])
		f.Add(stream[:2048])
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		m := faultfs.NewDisk(faultfs.POSIX).Mount()
		_, err := journal.RestoreTar(context.Background(), bytes.NewReader(stream), m, journal.RestoreOptions{})
		if err != nil {
			wantNames(t, m)
			if used := m.Used(); used > int64(len(stream)) {
				t.Errorf("%d bytes on disk from %d", used, len(stream))
			}
			return
		}
		j, err := journal.Open(context.Background(), m, journal.Options{SegmentBytes: smallest})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit(j); err != nil {
			t.Error(err)
		}
		j.Close()
	})
}

// A copy that was served is a journal of its own, and no backup any more.
func TestRestoreOfACopyThatWasWrittenToIsRefused(t *testing.T) {
	t.Parallel()
	copied, to := realDir(t, tempDir(t)), realDir(t, tempDir(t))
	if _, err := journal.Backup(t.Context(), smallJournal(t, backedUp), copied, journal.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	j := openFS(t, copied, journal.Options{})
	mustAppend(t, j, one(event("c", 1)))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Restore(t.Context(), copied, to, journal.RestoreOptions{}); !errors.Is(err, journal.ErrBackup) {
		t.Error(err)
	}
	wantNames(t, to)
}

func TestTwoCopiesDoNotGoIntoOneFolder(t *testing.T) {
	t.Parallel()
	src, to := smallJournal(t, backedUp), realDir(t, tempDir(t))
	in := faultfs.Inject(to)
	arrived, release := hold(in, faultfs.OpCreate, "segments/*")
	done := make(chan error)
	go func() {
		_, err := journal.Backup(context.Background(), src, in, journal.BackupOptions{})
		done <- err
	}()
	arrived()
	if _, err := journal.Backup(t.Context(), src, to, journal.BackupOptions{}); !errors.Is(err, journal.ErrNotEmpty) {
		t.Error(err)
	}
	if _, err := journal.Open(t.Context(), to, journal.Options{Name: "backup"}); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("opened in the middle of it: %v", err)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	openFS(t, to, journal.Options{})
}
