package component_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/journal"
	"batpak/component/relay"
	"batpak/faultfs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func folderOf(t testing.TB, dir string) faultfs.FS {
	t.Helper()
	root := must(os.OpenRoot(dir))(t)
	t.Cleanup(func() { root.Close() })
	return faultfs.Dir(root)
}

// taken is a backup of the node's journal, with keys, while it is served.
func (b *bed) taken(t testing.TB) []byte {
	t.Helper()
	var stream bytes.Buffer
	must(journal.BackupTar(context.Background(), folderOf(t, b.cfg.Dir), &stream, journal.BackupOptions{Keys: true}))(t)
	return stream.Bytes()
}

// restored restores a backup, with what the onward stream knows beyond it.
func restored(t testing.TB, stream []byte, nc *nats.Conn) (dir string, r journal.Restored, beyond component.Beyond, err error) {
	t.Helper()
	dir = t.TempDir()
	r, err = journal.RestoreTar(context.Background(), bytes.NewReader(stream), folderOf(t, dir), journal.RestoreOptions{
		Beyond: func(ctx context.Context, j *journal.Journal) ([]journal.ErasureRecord, error) {
			beyond, err = component.ErasuresBeyond(ctx, nc, j, component.BeyondConfig{})
			return beyond.Erasures, err
		},
	})
	return dir, r, beyond, err
}

func TestErasuresThatTheOnwardStreamHasBeyondABackupAreApplied(t *testing.T) {
	b := serve(t, bySubject)
	ctx := soon(t)
	add := func(subject string, more ...component.AppendOption) codec.Receipt {
		return must(b.client.AppendRaw(ctx, at("shop", "order"), 0x1001, []byte{1}, append(more, component.WithSubject(subject), component.AckStream())...))(t)
	}
	first, second := add("p"), add("q")
	must(b.client.Shred(ctx, codec.ShredRequest{Subject: "q", Reason: "before"}))(t)
	stream := b.taken(t)
	add("r")
	must(b.client.Shred(ctx, codec.ShredRequest{Subject: "p", Reason: "after"}))(t)
	add("p", component.Renew())
	must(b.client.Shred(ctx, codec.ShredRequest{Subject: "r", Reason: "after"}))(t)
	last := add("s")
	must0(t, b.node.Close())

	dir, r, beyond, err := restored(t, stream, b.nc)
	if err != nil || r.Head != 3 || r.Erasures != 2 || r.Destroyed != 2 || beyond.Last != last.Seq || beyond.Lost != 0 {
		t.Fatalf("%+v, %+v, %v", r, beyond, err)
	}
	j := must(journal.Open(ctx, folderOf(t, dir), journal.Options{}))(t)
	for _, receipt := range []codec.Receipt{first, second} {
		ev := must(j.Get(receipt.ID))(t)
		if _, state, err := j.Payload(&ev); state != causal.Shredded || err != nil {
			t.Errorf("event %d is %s, %v", ev.Seq, state, err)
		}
	}
	must0(t, j.Close())

	// Served, it disagrees with the stream, and says so.
	cfg := b.cfg
	cfg.Dir = dir
	node := must(component.Open(ctx, cfg))(t)
	defer node.Close()
	c := client(t, b.nc)
	receipt := must(c.AppendRaw(ctx, at("shop", "order"), 0x1001, []byte{1}, component.WithSubject("s")))(t)
	if receipt.Seq != 4 {
		t.Errorf("it goes on with %d", receipt.Seq)
	}
}

func must0(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAStreamThatCannotBeBelievedAppliesNothing(t *testing.T) {
	b := serve(t, bySubject)
	ctx := soon(t)
	person := component.WithSubject("p")
	must(b.client.AppendRaw(ctx, at("shop", "order"), 0x1001, []byte{1}, person, component.AckStream()))(t)
	stream := b.taken(t)
	must(b.client.Shred(ctx, codec.ShredRequest{Subject: "p", Reason: "one"}))(t)
	must(b.client.Shred(ctx, codec.ShredRequest{Subject: "p", Reason: "two"}))(t)
	must(b.client.AppendRaw(ctx, at("shop", "order"), 0x1001, []byte{1}, component.WithSubject("q"), component.AckStream()))(t)
	must0(t, b.node.Close())
	js := b.server.JetStream(b.nc)
	s := must(js.Stream(ctx, "BATPAK_MAIN"))(t)
	messages := []*jetstream.RawStreamMsg{nil}
	for seq := uint64(1); seq <= 4; seq++ {
		messages = append(messages, must(s.GetMsg(ctx, seq))(t))
	}
	config := s.CachedInfo().Config
	// made makes the stream anew, of some of its messages.
	made := func(change func(c *jetstream.StreamConfig), seqs ...uint64) {
		t.Helper()
		must0(t, js.DeleteStream(ctx, "BATPAK_MAIN"))
		c := config
		c.Metadata = map[string]string{relay.MetadataLineage: config.Metadata[relay.MetadataLineage]}
		change(&c)
		must(js.CreateStream(ctx, c))(t)
		for _, seq := range seqs {
			must(js.Publish(ctx, messages[seq].Subject, messages[seq].Data))(t)
		}
	}
	same := func(*jetstream.StreamConfig) {}
	wants := func(what string, want error, erasures int) {
		t.Helper()
		_, r, _, err := restored(t, stream, b.nc)
		if !errors.Is(err, want) || r.Erasures != erasures {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
	made(same, 1, 2, 3, 4)
	wants("as it was", nil, 2)
	made(same, 1)
	wants("with nothing beyond", nil, 0)
	made(func(c *jetstream.StreamConfig) { c.Metadata[relay.MetadataLineage] = causal.NewLineage().String() }, 1, 2, 3, 4)
	wants("of another lineage", component.ErrStreamDiffers, 0)
	made(same, 1, 1, 3, 4)
	wants("without an erasure", component.ErrStreamDiffers, 0)
	made(same, 1, 3, 2, 4)
	wants("in another order", component.ErrStreamDiffers, 0)
	made(same, 4, 2, 3, 1)
	wants("with another event at the end of the backup", component.ErrStreamDiffers, 0)
	messages[2].Data[len(messages[2].Data)-1] ^= 1
	made(same, 1, 2, 3, 4)
	wants("with a changed erasure", component.ErrStreamDiffers, 0)
	messages[2].Data[len(messages[2].Data)-1] ^= 1
	made(func(c *jetstream.StreamConfig) { c.FirstSeq = 4 }, 4)
	if _, r, beyond, err := restored(t, stream, b.nc); err != nil || r.Erasures != 0 || beyond.Lost != 2 || beyond.Last != 4 {
		t.Errorf("that lost its beginning: %+v, %+v, %v", r, beyond, err)
	}
	must0(t, js.DeleteStream(ctx, "BATPAK_MAIN"))
	wants("that is not there", component.ErrNoStream, 0)
}
