package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
)

// seal is step 6.
func (d *demo) seal(ctx context.Context) error {
	if err := d.title("Personal data is sealed, under a key of the person's own"); err != nil {
		return err
	}
	where := moved{Name: "Ada Lovelace", Street: "12 St James's Square"}
	r, err := component.Append(ctx, d.client, d.types, customer("ada"), where, component.WithSubject("person-1"))
	if err != nil {
		return err
	}
	d.acked.add(r)
	ev, err := d.published(ctx, r.Seq)
	if err != nil {
		return err
	}
	if ev.Hash != r.Hash || ev.Enc == nil {
		return errors.New("what was published is not the sealed event")
	}
	const shown = 32 // bytes
	if err := d.say("as stream message %d: %s… (%d bytes, key %s…)", r.Seq, hex.EncodeToString(ev.Data[:shown]), len(ev.Data), ev.Enc.Key.String()[:8]); err != nil {
		return err
	}
	for o, err := range d.client.OpenIDs(ctx, r.ID) {
		if err != nil {
			return err
		}
		text, err := codec.MsgpackToJSON(nil, o.Payload)
		if err != nil || o.State != causal.Opened {
			return errors.Join(fmt.Errorf("the payload is %s", o.State), err)
		}
		if err := d.say("opened by the node:    %s", text); err != nil {
			return err
		}
	}
	files, with, err := d.search([]byte(where.Name))
	if err != nil {
		return err
	}
	if with > 0 {
		return fmt.Errorf("%q is in %d files in clear", where.Name, with)
	}
	return d.say("%q is in none of the %d files of the journal and its NATS server", where.Name, files)
}

// published is the event that a message of the onward stream is.
func (d *demo) published(ctx context.Context, seq uint64) (causal.Event, error) {
	if err := d.balances.Wait(ctx, seq); err != nil { // then it is there
		return causal.Event{}, err
	}
	stream, err := d.js.Stream(ctx, demoStream)
	if err != nil {
		return causal.Event{}, err
	}
	m, err := stream.GetMsg(ctx, seq)
	if err != nil {
		return causal.Event{}, err
	}
	return codec.DecodeEnvelope(m.Data)
}

// search counts the files of the journal, and those that have the text.
func (d *demo) search(text []byte) (files, with int, err error) {
	err = filepath.WalkDir(filepath.Join(d.home, "journal"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server replaces files
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files++
		if bytes.Contains(b, text) {
			with++
		}
		return nil
	})
	return files, with, err
}
