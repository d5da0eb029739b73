package component_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats.go"
)

func headsOften(c *component.Config) { c.Heads = 5 * time.Millisecond }

// number appends so many events, each to an entity of its own.
func (b *bed) number(t testing.TB, payload byte, n int) {
	t.Helper()
	for i := range n {
		must(b.client.AppendRaw(soon(t), at("s", string(rune('a'+i))), kind, []byte{0xc4, 4, 'n', 'o', payload, byte(i)}))(t)
	}
}

// following is a Witness that follows.
type following struct {
	*component.Witness
	client *component.Client // a new one, which may be refused
	seen   chan codec.PublishedHead
	stop   context.CancelFunc
	ended  chan error
}

func follow(t testing.TB, b *bed, o component.WitnessOptions) *following {
	t.Helper()
	f := &following{client: client(t, b.nc), seen: make(chan codec.PublishedHead), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	o.Seen = func(h codec.PublishedHead) {
		select {
		case f.seen <- h:
		case <-ctx.Done():
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f.Witness = must(component.NewWitness(f.client, o))(t)
	done := make(chan struct{})
	go func() { // it ends with the test at the latest
		defer close(done)
		f.ended <- f.Follow(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return f
}

// until waits for a head at a sequence.
func (f *following) until(t testing.TB, seq uint64) codec.PublishedHead {
	t.Helper()
	for {
		select {
		case h := <-f.seen:
			if h.Seq == seq {
				return h
			}
		case err := <-f.ended:
			t.Fatalf("before event %d: %v", seq, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("no head at event %d", seq)
		}
	}
}

// end waits for the error that ends it, whatever heads come before.
func (f *following) end(t testing.TB) error {
	t.Helper()
	for {
		select {
		case <-f.seen:
		case err := <-f.ended:
			return err
		case <-time.After(20 * time.Second):
			t.Fatal("it goes on")
		}
	}
}

// refused checks that the client asks nothing any more, for this reason, and that another one still does.
func (f *following) refused(t testing.TB, b *bed, what string, why error) {
	t.Helper()
	ctx := soon(t)
	_, appended := f.client.AppendRaw(ctx, at("s", "after"), kind, []byte{1})
	_, status := f.client.Status(ctx)
	var read error
	for _, read = range f.client.Read(ctx, codec.Selection{}) {
		break
	}
	for _, err := range []error{appended, status, read} {
		if !errors.Is(err, why) {
			t.Errorf("%s: the client goes on: %v", what, err)
		}
	}
	if _, err := b.client.Status(ctx); err != nil {
		t.Errorf("%s: another client: %v", what, err)
	}
}

func TestAWitnessFollowsHeads(t *testing.T) {
	pair, public := keyPair(t, 1)
	b := serve(t, noOnward, headsOften, func(c *component.Config) { c.Signer = pair })
	file := filepath.Join(t.TempDir(), "head")
	f := follow(t, b, component.WitnessOptions{File: file, Signer: public})
	if h := f.until(t, 0); h.Verify(public) != nil {
		t.Errorf("%+v", h)
	}
	b.number(t, 1, 3)
	first := f.until(t, 3)
	if again := f.until(t, 3); again.Time < first.Time || again.Commitment != first.Commitment {
		t.Errorf("without news: %+v after %+v", again, first)
	}
	b.number(t, 2, 4)
	h := f.until(t, 7)
	f.stop()
	if err := f.end(t); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	kept := must(component.LoadHead(file))(t)
	if kept.Seq() != 7 || kept.History.Root() != h.Commitment || kept.Lineage != b.node.Journal().Lineage() || kept.Journal != "main" {
		t.Errorf("kept %+v", kept)
	}
	if err := b.client.CheckHead(soon(t), kept, nil); err != nil {
		t.Error(err)
	}
	// The same head is reckoned from the events alone.
	var own component.KeptHead
	if err := b.client.ExtendHead(soon(t), &own, 7, nil); err != nil || own.History.Root() != h.Commitment {
		t.Errorf("another commitment: %v", err)
	}
	must(b.client.AppendRaw(soon(t), at("s", "x"), kind, []byte{1}))(t)
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	b.cfg.Signer = nil
	b.open(t)
	unsigned := follow(t, b, component.WitnessOptions{File: file})
	if h := unsigned.until(t, 8); h.Signer != "" {
		t.Errorf("signed by %s", h.Signer)
	}
	asked := follow(t, b, component.WitnessOptions{File: file, Signer: public})
	if err := asked.end(t); !errors.Is(err, codec.ErrUnproved) {
		t.Errorf("a head without signature: %v", err)
	}
	asked.refused(t, b, "unsigned", codec.ErrUnproved)
}

func TestADrainEndsWithAHead(t *testing.T) {
	b := serve(t, noOnward, func(c *component.Config) { c.Heads = time.Hour })
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	sub := must(b.nc.SubscribeSync("batpak.main.heads"))(t)
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	b.open(t)
	next := func() (h codec.PublishedHead) {
		t.Helper()
		msg := must(sub.NextMsgWithContext(soon(t)))(t)
		if err := codec.Unmarshal(msg.Data, codec.Msgpack, &h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	if h := next(); h.Seq != 0 {
		t.Fatalf("the first is %+v", h)
	}
	b.number(t, 1, 3)
	if err := b.node.Drain(soon(t)); err != nil {
		t.Fatal(err)
	}
	if h := next(); h.Seq != 3 {
		t.Errorf("the last is %+v", h)
	}
}

func TestNoHeadsPublishesNone(t *testing.T) {
	b := serve(t, noOnward, func(c *component.Config) { c.Heads = component.NoHeads })
	sub := must(b.nc.SubscribeSync("batpak.main.heads"))(t)
	b.number(t, 1, 2)
	if err := b.node.Drain(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := sub.Pending(); err != nil || n != 0 {
		t.Errorf("%d heads, %v", n, err)
	}
}

// snapshot copies the directory of a node that is closed.
func (b *bed) snapshot(t testing.TB) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(b.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// An older copy of the directory is put back, and perhaps goes on otherwise.
func TestAWitnessRefusesANodeThatWasRolledBack(t *testing.T) {
	b := serve(t, noOnward, headsOften)
	file := filepath.Join(t.TempDir(), "head")
	f := follow(t, b, component.WitnessOptions{File: file})
	b.number(t, 1, 3)
	f.until(t, 3)
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	old := b.snapshot(t)
	b.open(t)
	b.number(t, 2, 3)
	f.until(t, 6)
	text := must(os.ReadFile(file))(t)
	live := true
	for what, tc := range map[string]struct {
		more        int
		first, last uint64
	}{
		"and no more":           {0, 4, 6},
		"and is shorter":        {1, 4, 4},
		"and is as long":        {3, 4, 4},
		"and is longer":         {5, 4, 4},
		"and is longer by many": {20, 4, 4},
	} {
		if err := b.node.Close(); err != nil {
			t.Fatal(err)
		}
		b.cfg.Dir = old
		b.cfg.Dir = b.snapshot(t)
		b.open(t)
		b.number(t, 3, tc.more)
		if !live { // the client has been started again, and has the file
			f = follow(t, b, component.WitnessOptions{File: file})
		}
		live = false
		err := f.end(t)
		var where *component.RewrittenError
		if !errors.As(err, &where) || !errors.Is(err, component.ErrRewritten) || where.First != tc.first || tc.more > 0 && where.Last < tc.last {
			t.Errorf("rolled back %s: %v", what, err)
			continue
		}
		f.refused(t, b, what, component.ErrRewritten)
		if again := must(os.ReadFile(file))(t); !bytes.Equal(again, text) {
			t.Errorf("rolled back %s: the file was changed", what)
		}
	}
}

// A client that is started again need not wait for a head.
func TestAWitnessAsksAtItsBeginning(t *testing.T) {
	b := serve(t, noOnward, headsOften)
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	old := b.snapshot(t)
	b.open(t)
	file := filepath.Join(t.TempDir(), "head")
	f := follow(t, b, component.WitnessOptions{File: file})
	b.number(t, 1, 2)
	f.until(t, 2)
	f.stop()
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	b.cfg.Dir, b.cfg.Heads = old, component.NoHeads
	b.open(t)
	f = follow(t, b, component.WitnessOptions{File: file})
	var where *component.RewrittenError
	if err := f.end(t); !errors.As(err, &where) || where.First != 1 || where.Last != 2 {
		t.Error(err)
	}
	f.refused(t, b, "rolled back", component.ErrRewritten)
}

// forge changes a payload in the log, with every checksum made right.
func forge(t testing.TB, dir string, payload, other []byte) {
	t.Helper()
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	path := filepath.Join(dir, "segments", "0000000000000001.seg")
	b := must(os.ReadFile(path))(t)
	salt := crc32.Checksum(b[48:56], castagnoli)
	i := bytes.LastIndex(b, payload)
	if i < 0 {
		t.Fatal("no such payload")
	}
	copy(b[i:], other)
	group := 4096
	for off := group; ; {
		length := int(binary.LittleEndian.Uint32(b[off:]))
		typ, end := b[off+13], off+16+length
		if typ == 2 {
			binary.LittleEndian.PutUint32(b[off+16+12:], crc32.Checksum(b[group:off], castagnoli))
		}
		sum := crc32.Update(crc32.Update(salt, castagnoli, b[off:off+4]), castagnoli, b[off+8:end])
		binary.LittleEndian.PutUint32(b[off+4:], sum)
		off = (end + 7) &^ 7
		if typ == 1 {
			continue
		}
		if group = off; off > i { // behind a commit, or a mark
			break
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAWitnessRefusesANodeWithARewrittenEvent(t *testing.T) {
	b := serve(t, noOnward, headsOften)
	file := filepath.Join(t.TempDir(), "head")
	f := follow(t, b, component.WitnessOptions{File: file})
	b.number(t, 1, 5)
	f.until(t, 5)
	f.stop()
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	forge(t, b.cfg.Dir, []byte{'n', 'o', 1, 2}, []byte("gone")) // event 3
	for _, name := range []string{"checkpoint", "segments/0000000000000001.idx"} {
		if err := os.Remove(filepath.Join(b.cfg.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	b.open(t)
	if ev := must(b.client.GetSeq(soon(t), 3))(t); !bytes.HasSuffix(ev.Data, []byte("gone")) {
		t.Fatalf("event 3 has %q", ev.Data)
	}
	// Its cache still has the tree over what was: the heads are as before. Whoever reads all events sees it.
	f = follow(t, b, component.WitnessOptions{File: file})
	f.until(t, 5)
	f.stop()
	var where *component.RewrittenError
	if err := b.client.CheckHead(soon(t), must(component.LoadHead(file))(t), nil); !errors.As(err, &where) || where.First != 3 || where.Last != 3 {
		t.Errorf("all events read: %v", err)
	}
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(b.cfg.Dir, "history")); err != nil {
		t.Fatal(err)
	}
	b.open(t)
	f = follow(t, b, component.WitnessOptions{File: file})
	if err := f.end(t); !errors.As(err, &where) || where.First != 3 || where.Last != 3 {
		t.Errorf("without its cache: %v", err)
	}
	f.refused(t, b, "rewritten", component.ErrRewritten)
}

func TestAWitnessRefusesAnotherJournal(t *testing.T) {
	b := serve(t, noOnward, headsOften)
	file := filepath.Join(t.TempDir(), "head")
	f := follow(t, b, component.WitnessOptions{File: file})
	b.number(t, 1, 2)
	f.until(t, 2)
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	b.cfg.Dir = t.TempDir()
	b.open(t)
	if err := f.end(t); !errors.Is(err, component.ErrRewritten) {
		t.Errorf("a new journal of the name: %v", err)
	}
	b.number(t, 1, 2)
	f = follow(t, b, component.WitnessOptions{File: file})
	if err := f.end(t); !errors.Is(err, component.ErrRewritten) {
		t.Errorf("from the file: %v", err)
	}
	f.refused(t, b, "another journal", component.ErrRewritten)
	other := must(component.NewClient(b.nc, component.ClientOptions{Journal: "other"}))(t)
	if _, err := component.NewWitness(other, component.WitnessOptions{File: file}); !errors.Is(err, component.ErrConfig) {
		t.Errorf("the file of another name: %v", err)
	}
	if err := os.WriteFile(file, bytes.Replace(must(os.ReadFile(file))(t), []byte(`"seq":2`), []byte(`"seq":3`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := component.NewWitness(b.client, component.WitnessOptions{File: file}); err == nil {
		t.Error("a file that contradicts itself is taken")
	}
}

// quiet is a node whose heads are the test's: of the three events, signed by key pair 1.
func quiet(t *testing.T) (b *bed, head codec.PublishedHead, public string) {
	pair, public := keyPair(t, 1)
	b = serve(t, noOnward, func(c *component.Config) { c.Heads, c.Signer = component.NoHeads, pair })
	b.number(t, 1, 3)
	return b, must(b.node.Journal().SignHead(context.Background(), 1_800_000_001_000))(t), public
}

func TestAHeadThatIsNotTheSignersIsRefused(t *testing.T) {
	b, good, public := quiet(t)
	mallory, name := keyPair(t, 2)
	signed := func(h codec.PublishedHead) codec.PublishedHead {
		sig := must(mallory.Sign(causal.AppendHeadMessage(nil, h.Lineage, h.Seq, h.Time, h.Commitment)))(t)
		h.Signer, h.Sig = name, [64]byte(sig)
		return h
	}
	forged, later, unsigned := good, good, good
	forged.Sig[5] ^= 1
	later.Time++
	unsigned.Signer, unsigned.Sig = "", [64]byte{}
	wrong := signed(good)
	another := signed(good)
	another.Signer = public // mallory's signature under the node's name
	for what, tc := range map[string]struct {
		head   codec.PublishedHead
		signer string
		want   error
	}{
		"good":                       {good, public, nil},
		"good, whoever signs":        {good, "", nil},
		"forged":                     {forged, public, codec.ErrUnproved},
		"forged, whoever signs":      {forged, "", codec.ErrUnproved},
		"at another time":            {later, public, codec.ErrUnproved},
		"not signed":                 {unsigned, public, codec.ErrUnproved},
		"not signed, whoever signs":  {unsigned, "", nil},
		"by another":                 {wrong, public, codec.ErrUnproved},
		"by another, whoever signs":  {wrong, "", nil},
		"by another, under its name": {another, public, codec.ErrUnproved},
	} {
		f := follow(t, b, component.WitnessOptions{Signer: tc.signer})
		stop, body := make(chan struct{}), must(codec.Marshal(nil, codec.Msgpack, &tc.head))(t)
		go func() { // until it was looked at: the subscription may come later
			for {
				_ = b.nc.Publish("batpak.main.heads", body)
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}()
		if tc.want == nil {
			f.until(t, 3)
		} else {
			if err := f.end(t); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v", what, err)
			}
			f.refused(t, b, what, tc.want)
		}
		close(stop)
		f.stop()
	}
}

func TestAWitnessChecksWhatAHeadClaims(t *testing.T) {
	b, good, _ := quiet(t)
	ctx := soon(t)
	good.Signer, good.Sig = "", [64]byte{}
	b.number(t, 2, 2)
	five := must(b.node.Journal().SignHead(ctx, 1_800_000_002_000))(t)
	five.Signer, five.Sig = "", [64]byte{}
	change := func(h codec.PublishedHead, f func(h *codec.PublishedHead)) codec.PublishedHead {
		f(&h)
		return h
	}
	for what, tc := range map[string]struct {
		heads []codec.PublishedHead
		want  bool // that it is refused
		kept  uint64
	}{
		"one after the other":     {[]codec.PublishedHead{good, five}, false, 5},
		"again":                   {[]codec.PublishedHead{five, five}, false, 5},
		"late":                    {[]codec.PublishedHead{five, good}, false, 5},
		"fewer, and signed later": {[]codec.PublishedHead{five, change(good, func(h *codec.PublishedHead) { h.Time = 1_800_000_003_000 })}, true, 5},
		"another commitment":      {[]codec.PublishedHead{good, change(good, func(h *codec.PublishedHead) { h.Commitment[0] ^= 1 })}, true, 3},
		"another at the end":      {[]codec.PublishedHead{good, change(five, func(h *codec.PublishedHead) { h.Commitment[0] ^= 1 })}, true, 3},
		"another at first":        {[]codec.PublishedHead{change(good, func(h *codec.PublishedHead) { h.Commitment[0] ^= 1 })}, true, 0},
		"events that are not":     {[]codec.PublishedHead{good, change(five, func(h *codec.PublishedHead) { h.Seq = 6 })}, true, 3},
		"all sequences":           {[]codec.PublishedHead{good, change(five, func(h *codec.PublishedHead) { h.Seq = 1<<64 - 1 })}, true, 3},
		"the end of time":         {[]codec.PublishedHead{good, change(five, func(h *codec.PublishedHead) { h.Time = 1<<64 - 1 })}, false, 5},
		"another lineage":         {[]codec.PublishedHead{good, change(five, func(h *codec.PublishedHead) { h.Lineage[3] ^= 1 })}, true, 3},
		"another lineage again":   {[]codec.PublishedHead{good, change(good, func(h *codec.PublishedHead) { h.Lineage[3] ^= 1 })}, true, 3},
		"another lineage first":   {[]codec.PublishedHead{change(five, func(h *codec.PublishedHead) { h.Lineage[3] ^= 1 })}, true, 0},
	} {
		c := client(t, b.nc)
		w := must(component.NewWitness(c, component.WitnessOptions{}))(t)
		for i, h := range tc.heads {
			err := w.Check(ctx, &h)
			if want := tc.want && i == len(tc.heads)-1; want != errors.Is(err, component.ErrRewritten) || !want && err != nil {
				t.Errorf("%s: head %d: %v", what, i, err)
			}
		}
		if _, err := c.Status(ctx); errors.Is(err, component.ErrRewritten) != tc.want {
			t.Errorf("%s: the client: %v", what, err)
		}
		if kept := w.Kept(); tc.kept == 0 && kept != nil || tc.kept > 0 && kept.Seq() != tc.kept {
			t.Errorf("%s: kept %+v", what, kept)
		}
	}
}

// What is no head is passed over, and a head behind it is looked at.
func TestAWitnessPassesOverWhatIsNoHead(t *testing.T) {
	b, good, public := quiet(t)
	f := follow(t, b, component.WitnessOptions{Signer: public})
	whole := must(codec.Marshal(nil, codec.Msgpack, &good))(t)
	good.Sig[0] ^= 1 // would be refused
	large := append(must(codec.Marshal(nil, codec.Msgpack, &good))(t), "\xa4more\xc5\x13\x88"...)
	large[0]++ // keys
	large = append(large, make([]byte, 5000)...)
	stop := make(chan struct{})
	defer close(stop)
	go func() { // until it was looked at
		for {
			for _, body := range [][]byte{nil, {0xc1}, {0x80}, []byte("junk"), whole[:len(whole)-1], append(slices.Clone(whole), 0),
				{0xdf, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0x91}, 4000), bytes.Repeat(whole, 3000), large, whole} {
				_ = b.nc.Publish("batpak.main.heads", body)
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	f.until(t, 3)
	f.until(t, 3)
}

// A node that does not answer is not at fault.
func TestAWitnessWaitsForANodeThatIsAway(t *testing.T) {
	b := serve(t, noOnward, headsOften)
	file := filepath.Join(t.TempDir(), "head")
	f := follow(t, b, component.WitnessOptions{File: file})
	b.number(t, 1, 2)
	h := f.until(t, 2)
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	w := must(component.NewWitness(client(t, b.nc), component.WitnessOptions{File: file}))(t)
	h.Seq++
	h.Commitment[0] ^= 1
	if err := w.Check(soon(t), &h); !errors.Is(err, component.ErrNoNode) {
		t.Errorf("nobody to ask: %v", err)
	}
	f = follow(t, b, component.WitnessOptions{File: file}) // asks nobody at first
	b.open(t)
	b.number(t, 2, 2)
	f.until(t, 4)
}

// A node that leaves events out, or says that there is more and gives nothing, has no history to extend a head with.
func TestAHeadTakesNoHistoryWithGaps(t *testing.T) {
	b := serveAlone(t, noOnward)
	b.number(t, 1, 3)
	var events [][]byte
	for ev, err := range b.client.Read(soon(t), codec.Selection{}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, ev.Envelope)
	}
	for what, pages := range map[string]func(sel *codec.Selection) *codec.ReadReply{
		"nothing": func(sel *codec.Selection) *codec.ReadReply {
			return &codec.ReadReply{Next: sel.After + 1, Head: 1 << 62, More: true}
		},
		"one left out": func(*codec.Selection) *codec.ReadReply {
			return &codec.ReadReply{Events: [][]byte{events[0], events[2]}, Next: 3, Head: 3}
		},
		"the first": func(*codec.Selection) *codec.ReadReply { return &codec.ReadReply{Events: events[1:], Next: 3, Head: 3} },
	} {
		asked := 0
		sub := must(b.nc.Subscribe("batpak.liar.read", func(m *nats.Msg) {
			asked++
			var sel codec.Selection
			if err := codec.Unmarshal(m.Data, codec.Msgpack, &sel); err != nil {
				t.Error(err)
			}
			if err := m.Respond(must(codec.Marshal(nil, codec.Msgpack, pages(&sel)))(t)); err != nil {
				t.Error(err)
			}
		}))(t)
		c := must(component.NewClient(b.nc, component.ClientOptions{Journal: "liar"}))(t)
		var head component.KeptHead
		if err := c.ExtendHead(soon(t), &head, 3, nil); !errors.Is(err, component.ErrRewritten) || asked != 1 {
			t.Errorf("%s: %v, asked %d times", what, err, asked)
		}
		if err := sub.Drain(); err != nil {
			t.Fatal(err)
		}
		for sub.IsValid() { // what follows asks another
			time.Sleep(time.Millisecond)
		}
	}
}
