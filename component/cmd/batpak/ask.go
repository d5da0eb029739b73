package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
)

// ask prints a prompt on standard error and returns the line that is typed for it. Standard input is a
// terminal: the caller has seen to that.
func (a *app) ask(ctx context.Context, prompt string) (string, error) {
	answer, err := a.typed(ctx, prompt, func() ([]byte, error) {
		line, err := bufio.NewReader(a.in).ReadString('\n')
		return []byte(line), err
	})
	return strings.TrimRight(string(answer), "\r\n"), err
}

// askSecret is ask for what must not be seen. The caller wipes it.
func (a *app) askSecret(ctx context.Context, prompt string) ([]byte, error) {
	fd, ok := terminal(a.in)
	if !ok {
		return nil, usage("a passphrase is asked for on a terminal, and standard input is none: passphrase-env:NAME and passphrase-file:PATH need none")
	}
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("the terminal: %w", err)
	}
	secret, err := a.typed(ctx, prompt, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil { // the reading goes on, and has the echo switched off
		_ = term.Restore(fd, before)
	}
	fmt.Fprintln(a.err) // what ended the line was not shown
	return secret, err
}

// typed prints a prompt and reads, until the context ends. The reading may then still hang, and ends with the
// process.
func (a *app) typed(ctx context.Context, prompt string, read func() ([]byte, error)) ([]byte, error) {
	type answer struct {
		text []byte
		err  error
	}
	given := make(chan answer, 1)
	fmt.Fprint(a.err, prompt)
	go func() {
		text, err := read()
		given <- answer{text, err}
	}()
	select {
	case got := <-given:
		if errors.Is(got.err, io.EOF) {
			return nil, errors.New("nothing was typed")
		}
		return got.text, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
