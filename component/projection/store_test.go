package projection_test

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"batpak/component/internal/natstest"
	"batpak/component/projection"
	"batpak/faultfs"

	"github.com/nats-io/nats.go/jetstream"
)

// savedSeq returns the sequence that a checkpoint says.
func savedSeq(b []byte) uint64 { return binary.BigEndian.Uint64(b[16:]) }

func TestStoresKeepTheLastSave(t *testing.T) {
	srv := natstest.Run(t)
	for name, open := range stores(t, srv) {
		t.Run(name, func(t *testing.T) {
			s := open()
			if b, err := s.Load(within(t)); b != nil || err != nil {
				t.Fatalf("an empty store has %q, %v", b, err)
			}
			for _, want := range []string{"one", "two", "three"} {
				if err := s.Save(within(t), []byte(want)); err != nil {
					t.Fatal(err)
				}
				for _, s := range []projection.Store{s, open()} {
					if b, err := s.Load(within(t)); string(b) != want || err != nil {
						t.Fatalf("loaded %q, %v, want %q", b, err, want)
					}
				}
			}
		})
	}
}

func TestAFailedRenameKeepsTheOldCheckpoint(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	broken := errors.New("broken")
	fsys := faultfs.Inject(faultfs.Dir(root), faultfs.Rule{On: faultfs.OpRename, Nth: 2, Do: faultfs.Fail(broken)})
	s := projection.NewFileStore(fsys, "checkpoint")
	if err := s.Save(within(t), []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(within(t), []byte("new")); !errors.Is(err, broken) {
		t.Fatalf("save: %v", err)
	}
	if b, err := s.Load(within(t)); string(b) != "old" || err != nil {
		t.Errorf("loaded %q, %v", b, err)
	}
}

func TestAnEmptyCheckpointFileIsDamage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/checkpoint", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := projection.NewFileStore(faultfs.Dir(root), "checkpoint").Load(within(t)); !errors.Is(err, projection.ErrCheckpoint) {
		t.Errorf("load: %v", err)
	}
}

func TestABucketTellsTwoWritersApart(t *testing.T) {
	open := stores(t, natstest.Run(t))["bucket"]
	a, b := open(), open()
	for _, s := range []projection.Store{a, b} {
		if _, err := s.Load(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Save(within(t), []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(within(t), []byte("b")); err == nil {
		t.Error("the second writer is not told")
	}
	if got, err := open().Load(within(t)); string(got) != "a" || err != nil {
		t.Errorf("loaded %q, %v", got, err)
	}
}

func TestADeletedKeyBeginsAnew(t *testing.T) {
	srv := natstest.Run(t)
	kv, err := srv.JetStream(srv.Connect()).CreateKeyValue(within(t), jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	s := projection.NewKVStore(kv, "k")
	if err := s.Save(within(t), []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(within(t), "k"); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Load(within(t)); b != nil || err != nil {
		t.Fatalf("loaded %q, %v", b, err)
	}
	if err := s.Save(within(t), []byte("two")); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Load(within(t)); string(b) != "two" || err != nil {
		t.Errorf("loaded %q, %v", b, err)
	}
}

func TestABucketOutOfReachIsAskedAgain(t *testing.T) {
	srv := natstest.Run(t)
	s := stores(t, srv)["bucket"]()
	if err := s.Save(within(t), []byte("one")); err != nil {
		t.Fatal(err)
	}
	srv.Stop()
	saved := make(chan error, 1)
	go func() { saved <- s.Save(within(t), []byte("two")) }()
	srv.Start()
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	if b, err := s.Load(within(t)); string(b) != "two" || err != nil {
		t.Errorf("loaded %q, %v", b, err)
	}
}
