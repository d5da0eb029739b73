package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/gates"
	"batpak/keystore"
)

// Cents as MessagePack: small positive numbers are one byte, small negative ones too.
func cent(n int8) []byte { return []byte{byte(n)} }

// A journal with one rule: no account goes below zero.
func Example() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()

	solvent := gates.Fold("solvent",
		func(balance int, e gates.Event) (int, error) { return balance + int(int8(e.Payload[0])), nil },
		func(balance int, p *gates.Proposal) *gates.Denial {
			if after := balance + int(int8(p.Data[0])); after < 0 {
				return &gates.Denial{Code: "insufficient_funds", Message: fmt.Sprintf("%d cents are missing", -after)}
			}
			return nil
		})
	rules, err := gates.NewChain(solvent)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	j, err := journal.Open(ctx, faultfs.Dir(root), journal.Options{Name: "accounts", Gates: rules, SegmentBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()

	account := causal.Coordinate{Scope: "bank", Entity: "account-7"}
	const moved causal.Kind = 0x1001
	move := func(cents int8, expect uint64) error {
		_, err := j.Append(ctx, &journal.Batch{Events: []journal.Append{
			{Coordinate: account, Kind: moved, Data: cent(cents), Expect: &expect},
		}})
		return err
	}

	fmt.Println(move(20, 0)) // the account has no events yet
	fmt.Println(move(-15, 1))

	var denial *gates.Denial
	if err := move(-10, 2); errors.As(err, &denial) {
		fmt.Println("denied:", denial.Code, "-", denial.Message)
	}
	var conflict *journal.ConflictError
	if err := move(-1, 1); errors.As(err, &conflict) { // somebody else was faster
		fmt.Println("conflict: the stream is at version", conflict.Version)
	}

	for ev, err := range j.Events(ctx, codec.Selection{Scope: account.Scope, Entity: account.Entity}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("event", ev.Seq, "version", ev.Version, "cents", int8(ev.Data[0]), "by", ev.Gates)
	}

	// Output:
	// <nil>
	// <nil>
	// denied: insufficient_funds - 5 cents are missing
	// conflict: the stream is at version 2
	// event 1 version 1 cents 20 by [solvent]
	// event 2 version 2 cents -15 by [solvent]
}

// A batch is appended as a whole, and under its key once, however often it is sent.
func ExampleJournal_Append_batch() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	ctx := context.Background()
	j, err := journal.Open(ctx, faultfs.Dir(root), journal.Options{Name: "accounts", SegmentBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()

	transfer := &journal.Batch{
		Key: "transfer-2041",
		Events: []journal.Append{
			{Coordinate: causal.Coordinate{Scope: "bank", Entity: "account-7"}, Kind: 0x1001, Data: cent(-5)},
			{Coordinate: causal.Coordinate{Scope: "bank", Entity: "account-8"}, Kind: 0x1001, Data: cent(5)},
		},
	}
	for range 2 {
		receipts, err := j.Append(ctx, transfer)
		if err != nil {
			log.Fatal(err)
		}
		for _, r := range receipts {
			fmt.Println("sequence", r.Seq, "version", r.Version, "duplicate", r.Duplicate)
		}
	}
	// Output:
	// sequence 1 version 1 duplicate false
	// sequence 2 version 1 duplicate false
	// sequence 1 version 1 duplicate true
	// sequence 2 version 1 duplicate true
}

// What was appended is folded from the log.
func ExampleJournal_Replay() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	ctx := context.Background()
	j, err := journal.Open(ctx, faultfs.Dir(root), journal.Options{Name: "accounts", SegmentBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()

	balance := map[string]int{}
	fold := func(ev *causal.Event) error {
		balance[ev.Entity] += int(int8(ev.Data[0])) // the string may be kept, Data may not
		return nil
	}
	move := func(entity string, cents int8) {
		_, err := j.Append(ctx, &journal.Batch{Events: []journal.Append{
			{Coordinate: causal.Coordinate{Scope: "bank", Entity: entity}, Kind: 0x1001, Data: cent(cents)},
		}})
		if err != nil {
			log.Fatal(err)
		}
	}
	move("account-7", 20)
	move("account-8", 5)
	last, err := j.Replay(ctx, 0, fold)
	fmt.Println("up to", last, balance, err)

	move("account-7", -15)
	last, err = j.Replay(ctx, last, fold) // goes on where it ended
	fmt.Println("up to", last, balance, err)
	// Output:
	// up to 2 map[account-7:20 account-8:5] <nil>
	// up to 3 map[account-7:5 account-8:5] <nil>
}

// A backup is taken while the journal is written, and restored into a new folder.
func ExampleBackup() {
	var roots []faultfs.FS
	for range 3 {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		root, err := os.OpenRoot(dir)
		if err != nil {
			log.Fatal(err)
		}
		defer root.Close()
		roots = append(roots, faultfs.Dir(root))
	}
	source, backup, restored := roots[0], roots[1], roots[2]
	ctx := context.Background()
	j, err := journal.Open(ctx, source, journal.Options{Name: "accounts", Seal: keystore.Entity, SegmentBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
	account := causal.Coordinate{Scope: "bank", Entity: "account-7"}
	opened := &journal.Batch{Events: []journal.Append{{Coordinate: account, Kind: 0x1001, Data: cent(5)}}}
	if _, err := j.Append(ctx, opened); err != nil {
		log.Fatal(err)
	}

	copied, err := journal.Backup(ctx, source, backup, journal.BackupOptions{Keys: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("copied up to", copied.Head)
	if _, err := j.Shred(ctx, journal.Erasure{Entity: &account, Reason: "account closed"}); err != nil {
		log.Fatal(err)
	}

	// What was erased since does not come back: whoever knows the erasures gives them along.
	done, err := journal.Restore(ctx, backup, restored, journal.RestoreOptions{
		Beyond: func(ctx context.Context, _ *journal.Journal) (records []journal.ErasureRecord, err error) {
			for r, err := range j.Erasures(ctx) {
				if err != nil {
					return nil, err
				}
				records = append(records, r)
			}
			return records, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("restored up to", done.Head, "and destroyed", done.Destroyed, "key")
	// Output:
	// copied up to 1
	// restored up to 1 and destroyed 1 key
}
