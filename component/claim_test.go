package component_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"batpak/component"
	"batpak/component/journal"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

func TestSecondNodeForANameIsRefused(t *testing.T) {
	b := serve(t, noOnward)
	second := b.cfg
	second.Conn, second.Dir = b.server.Connect(), t.TempDir()
	if _, err := component.Open(context.Background(), second); !errors.Is(err, component.ErrJournalTaken) {
		t.Fatalf("a second node for the name: %v", err)
	}
	// Another name, and another prefix, are other journals.
	for _, tweak := range []func(*component.Config){
		func(c *component.Config) { c.Name = "orders" },
		func(c *component.Config) { c.Prefix = "other.place" },
	} {
		cfg := second
		cfg.Dir = t.TempDir()
		tweak(&cfg)
		node, err := component.Open(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := node.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// And the name is free again when its node has ended.
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	node, err := component.Open(context.Background(), second)
	if err != nil {
		t.Fatal(err)
	}
	node.Close()
}

// A node that does not answer, or not yet, is found by its claim.
func TestClaimOfASilentNodeIsRespected(t *testing.T) {
	b := serve(t, noOnward)
	b.node.Close()
	other := b.server.Connect()
	service, err := micro.AddService(other, micro.Config{
		Name: "batpak", Version: "9.0.0", Metadata: map[string]string{"journal": "main"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Stop()
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	b.cfg.ClaimWait = 10 * time.Second // the answer ends it sooner
	if _, err := component.Open(context.Background(), b.cfg); !errors.Is(err, component.ErrJournalTaken) {
		t.Fatalf("a node beside another claim: %v", err)
	}
}

func TestWireTapDoesNotTakeTheName(t *testing.T) {
	b := serve(t, noOnward)
	b.node.Close()
	if _, err := b.nc.Subscribe(">", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	b.open(t)
}

func TestServiceSaysWhoseItIs(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	b.client.AppendRaw(ctx, at("s", "e"), 1, []byte{1})

	var info micro.Info
	if err := json.Unmarshal(must(b.nc.RequestWithContext(ctx, "$SRV.INFO.batpak", nil))(t).Data, &info); err != nil {
		t.Fatal(err)
	}
	lineage := b.node.Journal().Lineage().String()
	if m := info.Metadata; m["journal"] != "main" || m["lineage"] != lineage || m["protocol"] != "1" {
		t.Fatalf("metadata %v", m)
	}
	if len(info.Endpoints) != 14 {
		t.Fatalf("endpoints %v", info.Endpoints)
	}
	for _, e := range info.Endpoints {
		if e.QueueGroup != "" {
			t.Errorf("endpoint %s has queue group %s", e.Name, e.QueueGroup)
		}
	}
	for { // a reply is counted when it has gone out, so that it may be here first
		var stats micro.Stats
		if err := json.Unmarshal(must(b.nc.RequestWithContext(ctx, "$SRV.STATS.batpak", nil))(t).Data, &stats); err != nil {
			t.Fatal(err)
		}
		var data component.EndpointStats
		if err := json.Unmarshal(stats.Endpoints[0].Data, &data); err != nil || data.Replies > 1 || data.Errors["invalid"] > 1 {
			t.Fatalf("%v %+v", err, data)
		}
		if data.Replies == 1 && data.Errors["invalid"] == 1 {
			return
		}
	}
}

func TestIncompleteConfigIsRefused(t *testing.T) {
	b := serve(t, noOnward)
	for name, tweak := range map[string]func(*component.Config){
		"no connection":   func(c *component.Config) { c.Conn = nil },
		"no directory":    func(c *component.Config) { c.Dir = "" },
		"bad name":        func(c *component.Config) { c.Name = "a.b" },
		"bad prefix":      func(c *component.Config) { c.Prefix = "a..b" },
		"bad onward":      func(c *component.Config) { c.Onward = 9 },
		"negative":        func(c *component.Config) { c.MaxReads = -1 },
		"two directories": func(c *component.Config) { c.FS = dir(t, c.Dir) },
	} {
		cfg := b.cfg
		tweak(&cfg)
		if _, err := component.Open(context.Background(), cfg); !errors.Is(err, component.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := b.cfg
	cfg.Name, cfg.Dir = "", t.TempDir()
	if _, err := component.Open(context.Background(), cfg); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("a new journal without a name: %v", err)
	}
}
