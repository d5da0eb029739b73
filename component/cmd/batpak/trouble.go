package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"strings"
	"syscall"

	"batpak/codec"
	"batpak/component"
	"batpak/component/journal"
	"batpak/keystore"
	"batpak/keystore/vault"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitDamaged     = 4
	exitInterrupted = 130
)

// usageError is about the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// connectError is about a NATS server that cannot be reached, or does not let us in.
type connectError struct {
	where string
	err   error
}

func (e *connectError) Error() string { return "connect to " + e.where + ": " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// toldError has been told already; it has an exit code only.
type toldError struct{ code int }

func (e *toldError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// plainError says for people what became of something, and how it ends the program.
type plainError struct {
	code int
	text string
	err  error
}

func (e *plainError) Error() string { return e.text + ": " + e.err.Error() }
func (e *plainError) Unwrap() error { return e.err }

// report tells what went wrong, in one line, and returns the exit code.
func (a *app) report(err error) int {
	var told *toldError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &told):
		return told.code
	}
	code, text := explain(err)
	if a.screen == nil { // before a command began, it can only be the command line
		code, text = exitUsage, err.Error()
	}
	if code == exitUsage {
		text += "\nSee batpak --help, or batpak COMMAND --help."
	}
	if a.json {
		fmt.Fprintf(a.err, "%s\n", errorJSON(code, err, text))
		return code
	}
	fmt.Fprintf(a.err, "batpak: %s\n", text)
	return code
}

// errorJSON is an error as the protocol has it; one that is not a node's has a code of the program's own.
func errorJSON(code int, err error, text string) []byte {
	body := codec.ErrorReply{Code: "failed", Message: text}
	switch code {
	case exitUsage:
		body.Code = "usage"
	case exitInterrupted:
		body.Code = "interrupted"
	}
	var refusal *component.Error
	if errors.As(err, &refusal) {
		body = codec.ErrorReply{Code: refusal.Code, Message: refusal.Message, Retry: refusal.Retry, Gate: refusal.Gate, Details: refusal.Details}
	}
	out, e := codec.Marshal(nil, codec.JSON, &body)
	if e != nil {
		out, _ = codec.Marshal(nil, codec.JSON, &codec.ErrorReply{Code: body.Code, Message: body.Message})
	}
	return out
}

// flagTrouble says in words what is wrong with the value of a flag.
func flagTrouble(_ *cobra.Command, err error) error {
	var number *strconv.NumError
	if !errors.As(err, &number) {
		return err
	}
	what := "it is not a number"
	switch {
	case errors.Is(number, strconv.ErrRange):
		what = "it is out of range"
	case number.Func == "ParseBool":
		what = "it is neither true nor false"
	case number.Func == "ParseUint":
		what = "it is not a number, of 0 or more"
	}
	return errors.New(strings.Replace(err.Error(), number.Error(), what, 1))
}

// explain says what an error is about, and what can be done.
func explain(err error) (code int, text string) {
	var (
		badUsage *usageError
		refusal  *component.Error
		connect  *connectError
		place    *dirError
		plain    *plainError
	)
	switch {
	case errors.As(err, &plain):
		return plain.code, plain.text
	case errors.As(err, &badUsage):
		return exitUsage, badUsage.Error()
	case errors.As(err, &refusal):
		return exitRefused, explainRefusal(refusal)
	case errors.Is(err, journal.ErrBackup):
		return exitDamaged, printable(trim(err)) + "; nothing was restored: take another backup"
	case ofVault(err):
		_, detail, _ := strings.Cut(err.Error(), "vault: ")
		return exitFailed, "Vault: " + detail + "; are VAULT_ADDR and VAULT_TOKEN right, and may the token encrypt and decrypt?"
	case errors.As(err, &place):
		return place.explain()
	case errors.As(err, &connect):
		return exitFailed, fmt.Sprintf("cannot connect to %s: %v; is a server there (batpak serve starts one), and are --server and the credentials right?", connect.where, connect.err)
	case errors.Is(err, component.ErrNoNode):
		return exitFailed, trim(err) + "; is it served (batpak serve), and are --server, --journal and --prefix right?"
	case errors.Is(err, component.ErrJournalTaken):
		return exitFailed, trim(err) + "; a journal has one node: stop the other one, or take another --journal or --prefix"
	case errors.Is(err, context.Canceled):
		return exitInterrupted, "interrupted"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return exitFailed, trim(err) + "; no answer came in time (--timeout), and what was asked may have been done"
	default:
		return exitFailed, trim(err)
	}
}

// ofVault says whether it is Vault that does not do as asked.
func ofVault(err error) bool {
	for _, kind := range []error{vault.ErrUnavailable, vault.ErrDenied, vault.ErrRefused, vault.ErrAnswer} {
		if errors.Is(err, kind) {
			return !errors.Is(err, context.Canceled)
		}
	}
	return false
}

// trim takes the names of packages off an error's beginning.
func trim(err error) string {
	text := err.Error()
	for _, name := range []string{"component: ", "journal: ", "keystore: ", "vault: ", "relay: ", "bench: "} {
		text = strings.TrimPrefix(text, name)
	}
	return text
}

// explainRefusal is a node's refusal in a line.
func explainRefusal(e *component.Error) string {
	what := printable(trim(errors.New(e.Message)))
	text := fmt.Sprintf("%s: %s", e.Code, what)
	if e.Gate != "" {
		text = fmt.Sprintf("%s by gate %s: %s", e.Code, printable(e.Gate), what)
	}
	if e.Code == codec.CodeConflict {
		return text // it names the version, or the event, already
	}
	details := maps.Clone(e.Details)
	delete(details, "events")
	if len(details) > 0 {
		body := codec.ErrorReply{Code: e.Code, Details: details}
		if out, err := codec.Marshal(nil, codec.JSON, &body); err == nil {
			if _, object, found := strings.Cut(string(out), `"details":`); found {
				text += " " + strings.TrimSuffix(object, "}")
			}
		}
	}
	if e.Code == codec.CodeErased {
		text += "; --renew appends under a new key"
	}
	return text
}

// dirError is about the directory of a journal.
type dirError struct {
	dir string
	err error
}

func (e *dirError) Error() string { return e.dir + ": " + e.err.Error() }
func (e *dirError) Unwrap() error { return e.err }

// inDir makes an error one about the directory, when it is that.
func inDir(dir string, err error) error {
	for _, kind := range []error{
		journal.ErrNotEmpty, journal.ErrLocked, journal.ErrForeign, journal.ErrGranularity, journal.ErrDamaged, journal.ErrStorage, keystore.ErrDamaged,
		keystore.ErrWrapped, keystore.ErrWrongKey, fs.ErrPermission, fs.ErrNotExist, syscall.EROFS, syscall.ENOSPC, syscall.ENOTDIR,
	} {
		if errors.Is(err, kind) {
			return &dirError{dir, err}
		}
	}
	return err
}

// explain is explain for directories.
func (e *dirError) explain() (code int, text string) {
	is := func(target error) bool { return errors.Is(e.err, target) }
	say := func(what, then string) (int, string) {
		return exitFailed, fmt.Sprintf("%s %s: %s; %s", e.dir, what, e.detail(), then)
	}
	switch {
	case is(journal.ErrLocked):
		return exitFailed, e.dir + " is in use: another process has locked it; a journal has one writer: stop the other one, or take another --dir"
	case is(journal.ErrNotEmpty):
		return exitFailed, e.dir + " is not empty: a copy goes into a new folder; empty this one, or take another"
	case is(journal.ErrForeign):
		return say("belongs to another journal", "give its name with --journal, or another --dir")
	case is(journal.ErrGranularity):
		return say("was created with another granularity", "that is fixed: leave --seal out, or take another --dir")
	case is(keystore.ErrWrapped):
		return say("has wrapped keys", "say with --keys-wrap or $"+wrapVariable+" (rekey: --from) where the key-encryption key is")
	case is(keystore.ErrWrongKey):
		return say("has keys that do not open", "nothing was changed: give the key-encryption key that they were wrapped with (--keys-wrap, rekey: --from)")
	case is(journal.ErrDamaged), is(keystore.ErrDamaged):
		_, text = say("is damaged", "nothing was changed: keep a copy, find out what wrote there, and restore it from a backup")
		return exitDamaged, text
	case is(syscall.EROFS), is(fs.ErrPermission):
		return say("cannot be written", "make it writable for this user, or take another --dir")
	case is(syscall.ENOSPC):
		return say("has no room left", "make room on its disk, or take another --dir")
	case is(syscall.ENOTDIR):
		return say("is not a directory", "take another --dir")
	case is(fs.ErrNotExist):
		return say("has no journal", "is --dir right?")
	default:
		return say("failed", "its disk may need a look")
	}
}

// detail is the part of the error that says what exactly is wrong.
func (e *dirError) detail() string {
	var damage *journal.DamageError
	var path *fs.PathError
	var wrapped *keystore.WrappedError
	switch {
	case errors.As(e.err, &damage):
		return trim(damage)
	case errors.As(e.err, &wrapped):
		return trim(wrapped)
	case errors.Is(e.err, keystore.ErrWrongKey):
		_, detail, _ := strings.Cut(e.err.Error(), "unwrap the master key: ")
		return trim(errors.New(detail))
	case errors.As(e.err, &path):
		return path.Error()
	}
	text := e.err.Error()
	for _, kind := range []error{journal.ErrForeign, journal.ErrGranularity} {
		if _, detail, found := strings.Cut(text, kind.Error()+": "); found {
			return detail
		}
	}
	return trim(e.err)
}
