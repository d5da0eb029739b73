// Command peers measures batpak beside what it stands on and what it stands next
// to, in one run, and prints one table and the ratios.
//
// Over NATS, on real loopback sockets to servers in this process: a bare
// request/reply echo, and JetStream with sync_interval: always on one replica. From
// Go, without NATS: Pebble's Set with Sync, and a journal's Append. And the disk alone: one fdatasync
// after the other. All are closed loops of package batpak/component/bench. The
// contestants take turns, round by round; a row is the median of its rounds, and a
// ratio the median of the rounds' ratios.
//
// It is a Go module of its own, so that what the peers depend on stays out of
// batpak's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"batpak/component/bench"
)

// config is what the command line says.
type config struct {
	inflight []int
	size     int // bytes of a payload
	rounds   int
	duration time.Duration // of one measurement; a fifth of it goes before, as warm-up
	dir      string        // where the temporary directories go; must be on a real disk
	only     string        // contestants to measure; all when empty
	profile  string        // file for a CPU profile
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// tuneRuntime gives all contestants the runtime that the batpak command runs with.
func tuneRuntime() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

func run() (err error) {
	tuneRuntime()
	var c config
	inflight := flag.String("inflight", "1,16,64,256,1024", "operations in flight, comma-separated")
	flag.IntVar(&c.size, "size", 256, "bytes of a payload")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds; a row is the median of them")
	flag.DurationVar(&c.duration, "duration", 2*time.Second, "how long one measurement takes")
	flag.StringVar(&c.dir, "dir", "", "directory for the files, on the disk to measure (default: the system's for temporary files)")
	flag.StringVar(&c.only, "only", "", "measure only the contestant with this name")
	flag.StringVar(&c.profile, "cpuprofile", "", "file to write a CPU profile to")
	flag.Parse()
	for level := range strings.SplitSeq(*inflight, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(level))
		if err != nil {
			return fmt.Errorf("-inflight: %w", err)
		}
		c.inflight = append(c.inflight, n)
	}
	if c.size < 16 || c.size > 1<<15 {
		return fmt.Errorf("-size: %d is not within 16 bytes and 32 KiB", c.size)
	}
	if c.rounds < 1 || c.duration <= 0 {
		return errors.New("want at least one round, that takes some time")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	r := newRing(ctx, c.dir)
	defer func() { err = errors.Join(err, r.close()) }()
	for _, enter := range contestants {
		if err := enter(r, c.size); err != nil {
			return err
		}
	}
	if c.profile != "" {
		stop, err := profile(c.profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	all, err := bench.Rounds(c.rounds, r.runs(c)...)
	if err != nil {
		return err
	}
	rows, ratios := summary(all)
	return bench.Print(os.Stdout, rows, ratios)
}

// profile starts a CPU profile, and returns what ends it.
func profile(name string) (stop func(), err error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}
