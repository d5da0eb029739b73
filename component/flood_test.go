package component_test

import (
	"bytes"
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"batpak/component"
	"batpak/faultfs"

	"github.com/nats-io/nats.go"
)

func TestFloodIsAnsweredWithBusyAtOnceAndMemoryStaysFlat(t *testing.T) {
	disk := faultfs.Inject(dir(t, t.TempDir()))
	b := serveAlone(t, noOnward, func(c *component.Config) {
		c.Dir, c.FS, c.QueueEvents = "", disk, 100
	})
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)

	gate := make(chan struct{})
	disk.Add(faultfs.Rule{On: faultfs.OpSyncData, Sticky: true, Do: faultfs.Block(gate)})

	// While the disk hangs, many more come in than the queue has room for.
	const n, window = 20_000, 2000
	var busy, done atomic.Int64
	replies := make(chan string, n)
	inbox := b.nc.NewInbox()
	sub := must(b.nc.Subscribe(inbox, func(m *nats.Msg) { replies <- m.Header.Get("Nats-Service-Error-Code") }))(t)
	defer sub.Unsubscribe()
	reply := func() {
		select {
		case code := <-replies:
			switch code {
			case "429":
				busy.Add(1)
			case "":
				done.Add(1)
			default:
				t.Fatalf("error %s", code)
			}
		case <-ctx.Done():
			t.Fatalf("%d busy, %d done", busy.Load(), done.Load())
		}
	}
	request := pack("kind", 0x1001, "data", bytes.Repeat([]byte{7}, 4<<10))
	before := heap()
	for i := range n {
		if err := b.nc.PublishRequest("batpak.main.append.s.e", inbox, request); err != nil {
			t.Fatal(err)
		}
		if i >= window {
			reply() // at once, although nothing can be committed
		}
	}
	if grown := heap() - before; grown > 24<<20 {
		t.Errorf("the heap grew by %d MiB during a flood of %d MiB", grown>>20, n*len(request)>>20)
	}
	if done.Load() > 0 {
		t.Errorf("%d receipts without a disk", done.Load())
	}
	// Reads are answered meanwhile.
	must(b.client.Status(ctx))(t)
	must(b.client.GetSeq(ctx, 1))(t)

	close(gate)
	for range window {
		reply()
	}
	if done.Load() < 100 {
		t.Errorf("%d busy, %d done", busy.Load(), done.Load())
	}
	if st := must(b.client.Status(ctx))(t); st.Head != uint64(done.Load())+1 {
		t.Errorf("%d receipts, head %d", done.Load()+1, st.Head)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestReadsBeyondTheLimitAreBusy(t *testing.T) {
	disk := faultfs.Inject(dir(t, t.TempDir()))
	b := serve(t, noOnward, func(c *component.Config) { c.Dir, c.FS, c.MaxReads = "", disk, 2 })
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	gate := make(chan struct{})
	disk.Add(faultfs.Rule{On: faultfs.OpReadAt, Sticky: true, Do: faultfs.Block(gate)})
	got := make(chan error, 8)
	for range 8 {
		go func() {
			_, err := b.client.GetSeq(ctx, 1)
			got <- err
		}()
	}
	for range 6 {
		var refused *component.Error
		if err := <-got; !errors.As(err, &refused) || !errors.Is(err, component.ErrBusy) || refused.RetryAfter() <= 0 || !refused.Retry {
			t.Fatalf("a read too many: %v", err)
		}
	}
	// Appends do not care.
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	close(gate)
	for range 2 {
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	}
}

// brokenDisk panics when it is read, like a defect of the node would.
type brokenDisk struct {
	faultfs.FS
	broken atomic.Bool
}

func (d *brokenDisk) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	return &brokenFile{f, d}, err
}

type brokenFile struct {
	faultfs.File
	disk *brokenDisk
}

func (f *brokenFile) ReadAt(b []byte, off int64) (int, error) {
	if f.disk.broken.Load() {
		panic("a secret of the node")
	}
	return f.File.ReadAt(b, off)
}

func TestPanicIsInternalAndTheNodeServesOn(t *testing.T) {
	disk := &brokenDisk{FS: dir(t, t.TempDir())}
	b := serve(t, noOnward, func(c *component.Config) { c.Dir, c.FS, c.MaxReads = "", disk, 1 })
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	disk.broken.Store(true)
	for range 3 { // more than there are slots for reads
		_, err := b.client.GetSeq(ctx, 1)
		if !errors.Is(err, component.ErrInternal) || strings.Contains(err.Error(), "secret") {
			t.Fatalf("a panic: %v", err)
		}
	}
	disk.broken.Store(false)
	if _, err := b.client.GetSeq(ctx, 1); err != nil {
		t.Fatal(err)
	}
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
}
