package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/schollz/progressbar/v3"
)

// maxLine is the longest line of input, in bytes.
const maxLine = 64 << 20

// barStep is how many lines the progress bar is told of at a time: to tell it of each would cost as
// much as to append it.
const barStep = 100

// lines appends the events that standard input has.
func (s *appending) lines(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return usage("with --ndjson, scope, entity and data are in the lines")
	}
	for _, name := range []string{"kind", "schema", "lane", "expect", "meta", "cause", "correlation", "subject", "renew"} {
		if s.cmd.Flags().Changed(name) {
			return usage("with --ndjson, %s is in the lines", name)
		}
	}
	if s.inflight < 1 || s.inflight > 1<<16 {
		return usage("--inflight must be 1 to 65536")
	}
	nc, _, err := s.client() // a client checks the names
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := newPipeline(nc, s.prefix+"."+s.journal+".append.", s.inflight, s.timeout)
	if err != nil {
		return err
	}
	defer p.close()

	im := &importing{appending: s, began: time.Now(), bar: s.newProgress(-1, "append", "events")}
	source := make(chan line, s.inflight)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	// The reader ends with the input, or with reading; it may then still hang in a read of
	// standard input, which ends with the process.
	go im.read(reading, source)
	err = p.run(ctx, source, func(o outcome) (goOn bool) { return im.outcome(o) })
	_ = im.bar.Finish()
	return im.end(err)
}

// line is one line of input.
type line struct {
	number  uint64
	subject string // behind that of the endpoint
	body    []byte
	err     error // it cannot be sent
	last    bool  // and the input cannot be read any further
}

// importing reads lines and tells what became of them.
type importing struct {
	*appending
	began            time.Time
	bar              *progressbar.ProgressBar
	told             int
	appended, again  uint64 // again: the key had been used
	refused, unknown uint64
	first            error // of those that cannot be told as a refusal
}

// read sends lines until the input or the context ends, and closes source.
func (im *importing) read(ctx context.Context, source chan<- line) {
	defer close(source)
	scanner := bufio.NewScanner(im.in)
	scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	number := uint64(0)
	send := func(l line) bool {
		select {
		case source <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for scanner.Scan() {
		number++
		text := bytes.TrimSpace(scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		l := line{number: number}
		l.subject, l.body, l.err = im.request(number, text)
		if !send(l) {
			return
		}
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("longer than %s", sizeText(maxLine))
		}
		send(line{number: number + 1, err: err, last: true})
	}
}

// request makes a line the request that it asks for.
func (im *importing) request(number uint64, text []byte) (subject string, body []byte, err error) {
	var a codec.Append
	if err := codec.Unmarshal(text, codec.JSON, &a); err != nil {
		return "", nil, err
	}
	at := causal.Coordinate{Scope: a.Scope, Entity: a.Entity}
	if err := at.Validate(); err != nil {
		return "", nil, err
	}
	a.Scope, a.Entity = "", ""
	if a.Key == "" && im.key != "" {
		a.Key = im.key + ":" + strconv.FormatUint(number, 10)
	}
	if a.Ack == "" {
		a.Ack = codec.Ack(im.ack)
	}
	body, err = codec.Marshal(nil, codec.Msgpack, &a)
	return codec.EscapeToken(at.Scope) + "." + codec.EscapeToken(at.Entity), body, err
}

// outcome tells what became of a line, and says whether to go on.
func (im *importing) outcome(o outcome) (goOn bool) {
	if im.told++; im.told%barStep == 0 {
		_ = im.bar.Add(barStep) // a terminal that cannot be written to shows nothing
	}
	number := strconv.FormatUint(o.line.number, 10)
	if o.err == nil {
		im.appended++
		if o.receipt.Duplicate {
			im.again++
		}
		if err := im.receipt(number, &o.receipt); err != nil {
			im.first = err
			return false
		}
		return true
	}
	var refusal *component.Error
	switch {
	case errors.Is(o.err, errNoAnswer):
		im.unknown++
	case errors.As(o.err, &refusal), o.line.err != nil:
		im.refused++
	}
	code, text := explain(o.err)
	if im.screen.form == forMachine {
		if err := im.screen.json([]byte(`{"line":` + number + `,"error":` + string(errorJSON(code, o.err, text)) + `}`)); err != nil {
			im.first = err
			return false
		}
	} else {
		_ = im.bar.Clear()
		fmt.Fprintf(im.err, "line %s: %s\n", number, text)
	}
	return !im.stop && !o.line.last
}

func (im *importing) receipt(number string, r *codec.Receipt) error {
	switch {
	case im.quiet, im.screen.form == forTerminal:
		return nil
	case im.screen.form == forMachine:
		return im.screen.body(r, "line", number)
	default:
		_, err := im.screen.w.WriteString(number + "\t")
		if err != nil {
			return err
		}
		return im.screen.table(make([]column, 6)...).row(receiptCells(r)...)
	}
}

// end tells the sum, and returns the error of the whole.
func (im *importing) end(err error) error {
	if err == nil {
		err = im.first
	}
	if e := im.screen.w.Flush(); err == nil {
		err = e
	}
	took := time.Since(im.began)
	sum := fmt.Sprintf("%s appended in %s, %s", grouped(im.appended), brief(took), rate(im.appended, took))
	for _, part := range []struct {
		n    uint64
		what string
	}{{im.again, "of them had been appended before"}, {im.refused, "refused"}, {im.unknown, "without an answer"}} {
		if part.n > 0 {
			sum += fmt.Sprintf("; %s %s", grouped(part.n), part.what)
		}
	}
	fmt.Fprintln(im.err, sum)
	switch {
	case err != nil:
		return err
	case im.unknown > 0:
		return &toldError{exitFailed}
	case im.refused > 0:
		return &toldError{exitRefused}
	}
	return nil
}
