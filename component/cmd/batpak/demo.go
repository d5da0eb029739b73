package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"batpak/codec"
	"batpak/component"
	"batpak/component/projection"
	"batpak/faultfs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
)

// The demo's journal, and its onward stream.
const (
	demoJournal = "demo"
	demoStream  = "BATPAK_DEMO"
)

func (a *app) demoCommand() *cobra.Command {
	d := &demo{app: a}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A tour: orders, a gate, balances, a kill, sealed data",
		Long: `Start a node in a folder of its own, append orders, have a gate refuse one, show a projection's
balances, kill the node with SIGKILL and find everything that was acknowledged, and show what a sealed
payload looks like. It takes a few seconds and leaves nothing behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&d.keep, "dir", "", "run in this `directory`, which must be empty or new, and keep it")
	return cmd
}

// demo is a tour with real parts: the node is batpak serve in a process of its own, and all else
// is what any program would do with the packages of this module.
type demo struct {
	*app
	keep string // the directory to keep
	home string
	step int

	types  *codec.Registry
	node   *child
	nc     *nats.Conn
	js     jetstream.JetStream
	client *component.Client
	again  chan struct{} // gets a token when the connection is there again

	balances *projection.Projection[books]
	folding  chan error // what the projection ended with

	acked receipts
}

// demoTime is what the tour takes at most, on a slow machine.
const demoTime = 2 * time.Minute

func (d *demo) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	if err := d.makeHome(); err != nil {
		return err
	}
	began := time.Now()
	stop := func() {}
	defer func() {
		stop()
		if d.nc != nil {
			d.nc.Close()
		}
		if d.node != nil {
			d.node.close()
		}
		if d.keep == "" {
			if e := os.RemoveAll(d.home); err == nil {
				err = e
			}
		}
	}()
	folding, stop := context.WithCancel(ctx)
	for _, part := range []func(context.Context) error{
		d.start, d.order, d.refuse,
		func(context.Context) error { return d.project(folding, ctx) },
		d.crash, d.seal,
		func(ctx context.Context) error { return d.finish(ctx, stop) },
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	where := "nothing is left of it"
	if d.keep != "" {
		where = "the journal is in " + filepath.Join(d.home, "journal")
	}
	return d.say("Done in %s; %s. Next: batpak serve --dir DIR", brief(time.Since(began)), where)
}

func (d *demo) makeHome() (err error) {
	if d.types, err = shopTypes(); err != nil {
		return err
	}
	if d.keep == "" {
		d.home, err = os.MkdirTemp("", "batpak-demo-")
		return err
	}
	if d.home, err = filepath.Abs(d.keep); err != nil {
		return err
	}
	if err := os.MkdirAll(d.home, 0o700); err != nil {
		return inDir(d.home, err)
	}
	there, err := os.ReadDir(d.home)
	if err == nil && len(there) > 0 {
		err = usage("--dir %s is not empty", d.keep)
	}
	return err
}

// title begins a step.
func (d *demo) title(text string) error {
	d.step++
	switch d.screen.form {
	case forMachine:
		return d.screen.object("step", d.step, "title", text)
	case forTerminal:
		fmt.Fprintf(d.screen.w, "\n%s %s\n", d.screen.paint(cyan, fmt.Sprintf("%d.", d.step)), d.screen.paint(bold, text))
	default:
		fmt.Fprintf(d.screen.w, "\n%d. %s\n", d.step, text)
	}
	return d.screen.w.Flush()
}

// say tells one line of a step.
func (d *demo) say(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if d.screen.form == forMachine {
		return d.screen.object("step", d.step, "text", text)
	}
	fmt.Fprintf(d.screen.w, "   %s\n", printable(text))
	return d.screen.w.Flush()
}

// start is step 1.
func (d *demo) start(ctx context.Context) (err error) {
	if err := d.title("A node starts: a NATS server with JetStream, and a journal on it"); err != nil {
		return err
	}
	if d.node, err = startChild(ctx, d.home, "127.0.0.1:0"); err != nil {
		return err
	}
	d.again = make(chan struct{}, 1)
	d.nc, err = nats.Connect(d.node.url,
		nats.Name("batpak demo"), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // broken pipes, when the node is killed
		nats.ReconnectBufSize(-1), // what was on its way when the node is killed is not sent by itself
		nats.ReconnectHandler(func(*nats.Conn) {
			select {
			case d.again <- struct{}{}:
			default:
			}
		}))
	if err != nil {
		return err
	}
	if d.js, err = jetstream.New(d.nc); err != nil {
		return err
	}
	if d.client, err = component.NewClient(d.nc, component.ClientOptions{Journal: demoJournal}); err != nil {
		return err
	}
	return d.say("batpak serve --dir %s --seal subject: process %d, %s", filepath.Join(d.home, "journal"), d.node.cmd.Process.Pid, d.node.url)
}

// order is step 2.
func (d *demo) order(ctx context.Context) error {
	if err := d.title("Customers pay in and order; an answer comes when the event is on disk"); err != nil {
		return err
	}
	for _, name := range customers {
		amount := int64(muchMoney)
		if name == customers[len(customers)-1] {
			amount = littleMoney
		}
		r, err := component.Append(ctx, d.client, d.types, customer(name), deposited{amount})
		if err != nil {
			return err
		}
		d.acked.add(r)
	}
	const n, inflight = 400, 64
	began := time.Now()
	unanswered, err := d.place(ctx, "order", 1, n, inflight, nil)
	if err == nil && len(unanswered) > 0 {
		err = unanswered[0].err
	}
	if err != nil {
		return err
	}
	took := time.Since(began)
	last := d.acked.last()
	if err := d.say("%d deposits, then %d orders, %d in flight: %s, %s", len(customers), n, inflight, brief(took), rate(n, took)); err != nil {
		return err
	}
	return d.say("the last receipt: sequence %d, version %d of its stream, hash %s…, on disk", last.Seq, last.Version, last.Hash.String()[:16])
}

// refuse is step 3.
func (d *demo) refuse(ctx context.Context) error {
	if err := d.title("A gate inside the commit refuses what would overdraw an account"); err != nil {
		return err
	}
	poor := customers[len(customers)-1]
	if err := d.say("%s has %s and orders a chair for %s, twice, at the same time:", poor, money(littleMoney), money(15_00)); err != nil {
		return err
	}
	type answer struct {
		receipt codec.Receipt
		err     error
	}
	answers := make(chan answer, 2)
	for range cap(answers) {
		go func() {
			r, err := component.Append(ctx, d.client, d.types, customer(poor), ordered{"chair", 15_00})
			answers <- answer{r, err}
		}()
	}
	denied := 0
	for range cap(answers) {
		switch a := <-answers; {
		case a.err == nil:
			d.acked.add(a.receipt)
			if err := d.say("one is sequence %d", a.receipt.Seq); err != nil {
				return err
			}
		case errors.Is(a.err, component.ErrDenied):
			denied++
			_, text := explain(a.err)
			if err := d.say("one is %s", text); err != nil {
				return err
			}
		default:
			return a.err
		}
	}
	if denied != 1 {
		return fmt.Errorf("%d of 2 orders were denied, not 1", denied)
	}
	return nil
}

// project is step 4. The projection goes on until folding ends, over the crash.
func (d *demo) project(folding, ctx context.Context) error {
	if err := d.title("A projection folds the onward stream, in which message N is event N"); err != nil {
		return err
	}
	root, err := os.OpenRoot(d.home)
	if err != nil {
		return err
	}
	d.balances, err = projection.New(projection.Config[books]{
		JetStream: d.js, Stream: demoStream,
		New: newBooks, Fold: (*books).fold,
		Store: projection.NewFileStore(faultfs.Dir(root), "balances.checkpoint"),
	})
	if err != nil {
		root.Close()
		return err
	}
	d.folding = make(chan error, 1)
	go func() { // it ends with folding
		defer root.Close()
		d.folding <- d.balances.Run(folding)
	}()
	return d.showBalances(ctx)
}

// showBalances shows the books when they have everything.
func (d *demo) showBalances(ctx context.Context) error {
	if err := d.balances.Wait(ctx, d.acked.last().Seq); err != nil {
		return err
	}
	s := *d.screen
	if s.form == forPipe {
		s.form = forTerminal // this is for reading, wherever it goes
	}
	t := s.table(column{name: "   customer", style: cyan}, column{name: "orders", right: true}, column{name: "balance", right: true, style: bold})
	var total account
	var err error
	d.balances.View(func(b *books) {
		for _, name := range customers {
			a := b.Accounts[name]
			total.Orders, total.Balance = total.Orders+a.Orders, total.Balance+a.Balance
			if d.screen.form == forMachine {
				err = errors.Join(err, d.screen.object("step", d.step, "customer", name, "orders", a.Orders, "balance_cents", a.Balance))
				continue
			}
			err = errors.Join(err, t.row("   "+name, fmt.Sprint(a.Orders), money(a.Balance)))
		}
	})
	if err = errors.Join(err, t.flush()); err != nil {
		return err
	}
	return d.say("all together: %d orders, %s left, as of event %d", total.Orders, money(total.Balance), d.balances.Seq())
}

// finish is the last step.
func (d *demo) finish(ctx context.Context, stopFolding func()) error {
	if err := d.title("The whole journal is verified, and the node drains"); err != nil {
		return err
	}
	found, err := d.client.Verify(ctx, 0, 0)
	if err != nil {
		return err
	}
	if !found.Valid {
		return fmt.Errorf("the journal is not valid: %s", found.Reason)
	}
	if err := d.say("%d events: canonical bytes, sequence without gap, every chain whole; head %s…", found.Checked, found.Hash.String()[:16]); err != nil {
		return err
	}
	stopFolding()
	if err := <-d.folding; err != nil {
		return err
	}
	began := time.Now()
	if err := d.node.terminate(ctx); err != nil {
		return fmt.Errorf("the node drained: %w", err)
	}
	return d.say("SIGTERM: drained in %s, exit code 0", brief(time.Since(began)))
}
