package component

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/gates"
	"batpak/keystore"
)

// Errors of a node that no other package has.
var (
	errDraining = errors.New("component: the node is draining")
	errBusy     = errors.New("component: too many requests are being worked on")
	errDefect   = errors.New("component: a defect of the node; its log says more")
)

// invalidError is about a request that will never be right.
type invalidError struct{ reason string }

func (e *invalidError) Error() string { return e.reason }

// sizeError is about a reply or a request that does not fit a message.
type sizeError struct {
	reason string
	limit  int    // bytes
	seq    uint64 // the event that does not fit; 0 when it is not about one
}

func (e *sizeError) Error() string { return e.reason }

const (
	retryAfterMillis = 25  // how long a busy node asks to be left alone
	maxMessage       = 512 // bytes of an error's text: it goes into a header too
)

// errorReply says in the protocol's words what err is.
func errorReply(err error) codec.ErrorReply {
	reply := codec.ErrorReply{Code: codec.CodeInternal, Message: err.Error()}
	var (
		denial   *gates.Denial
		conflict *journal.ConflictError
		limit    *journal.LimitError
		size     *sizeError
		body     *codec.Error
		invalid  *invalidError
	)
	switch {
	case errors.As(err, &denial):
		reply.Code, reply.Gate = codec.CodeDenied, denial.Gate
		if reply.Message = denial.Message; reply.Message == "" {
			reply.Message = "denied by " + denial.Gate + ": " + denial.Code
		}
		// What is around the denial says which event of a batch it is about.
		if where, ok := strings.CutSuffix(err.Error(), denial.Error()); ok {
			reply.Message = where + reply.Message
		}
		reply.Details = map[string]any{}
		for k, v := range denial.Details {
			reply.Details[k] = v
		}
		reply.Details["code"] = denial.Code
	case errors.As(err, &conflict):
		reply.Code = codec.CodeConflict
		details := codec.Conflict{Seq: conflict.Seq, Events: conflict.Events}
		switch conflict.Reason {
		case journal.ConflictExpect:
			details.Version = &conflict.Version
			reply.Details = details.Details()
		case journal.ConflictUnless:
			reply.Details = details.Details()
		default:
			reply.Details = map[string]any{"seq": conflict.Seq}
		}
	case errors.As(err, &limit):
		reply.Code, reply.Details = codec.CodeTooLarge, map[string]any{"limit": limit.Limit}
	case errors.As(err, &size):
		reply.Code, reply.Details = codec.CodeTooLarge, map[string]any{"limit": size.limit}
		if size.seq > 0 {
			reply.Details["seq"] = size.seq
		}
	case errors.As(err, &body) && errors.Is(body, codec.ErrTooLarge):
		reply.Code, reply.Details = codec.CodeTooLarge, map[string]any{"limit": body.Limit}
	case errors.As(err, &invalid), errors.Is(err, codec.ErrMalformed),
		errors.Is(err, journal.ErrInvalid), errors.Is(err, causal.ErrCoordinate):
		reply.Code = codec.CodeInvalid
	case errors.Is(err, journal.ErrTooLarge), errors.Is(err, codec.ErrTooLarge):
		reply.Code = codec.CodeTooLarge
	case errors.Is(err, journal.ErrBusy), errors.Is(err, errBusy):
		reply.Code, reply.Retry = codec.CodeBusy, true
		reply.Details = map[string]any{"retry_after_ms": retryAfterMillis}
	case errors.Is(err, errDraining), errors.Is(err, journal.ErrClosed), errors.Is(err, context.Canceled):
		reply.Code, reply.Retry = codec.CodeUnavailable, true
	case errors.Is(err, journal.ErrNotFound):
		reply.Code = codec.CodeNotFound
	case errors.Is(err, journal.ErrErased):
		reply.Code = codec.CodeErased
	case errors.Is(err, keystore.ErrShredded):
		reply.Code = codec.CodeShredded
	case errors.Is(err, keystore.ErrKeyMissing):
		reply.Code = codec.CodeKeyMissing
	case errors.Is(err, journal.ErrPoisoned), errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrTampered):
		reply.Code = codec.CodeStorage // and nothing changes that before the node is opened again
	case errors.Is(err, journal.ErrStorage):
		reply.Code, reply.Retry = codec.CodeStorage, true
	case errors.Is(err, errDefect):
	default:
		reply.Message = errDefect.Error() // what it is exactly is for the node's log alone
	}
	reply.Message = printable(plainly(reply.Message, reply.Code))
	return reply
}

// plainly takes off the front of a message what its reader has no use for: the names of our
// packages, and the code that stands beside it.
func plainly(message string, code codec.Code) string {
	for _, front := range [...]string{"component: ", "journal: ", "codec: ", string(code) + ": "} {
		message = strings.TrimPrefix(message, front)
	}
	return message
}

// printable makes s fit for a header and a log: no control characters, no invalid UTF-8, and
// not long.
func printable(s string) string {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage-3], "") + "..."
	}
	if strings.ContainsFunc(s, bad) {
		s = strings.Map(func(r rune) rune {
			if bad(r) {
				return '?'
			}
			return r
		}, s)
	}
	return s
}

// codeNumbers gives each code a place in an endpoint's counters.
var codeNumbers = [...]codec.Code{
	codec.CodeInvalid, codec.CodeDenied, codec.CodeNotFound, codec.CodeConflict, codec.CodeShredded,
	codec.CodeTooLarge, codec.CodeErased, codec.CodeKeyMissing, codec.CodeBusy, codec.CodeInternal,
	codec.CodeUnavailable, codec.CodeStorage,
}

const numCodes = len(codeNumbers)

func codeNumber(c codec.Code) int {
	for i, code := range codeNumbers {
		if code == c {
			return i
		}
	}
	return codeNumber(codec.CodeInternal)
}

// tell writes a refusal to the log: as an error, once a second at most, when it is the node's
// own trouble, and as a detail when it is the client's mistake, a conflict or a gate's no.
func (n *Node) tell(req *request, err error, code codec.Code) {
	level := slog.LevelDebug
	var denial *gates.Denial
	ours := code == codec.CodeInternal || code == codec.CodeStorage
	if code == codec.CodeDenied {
		ours = errors.As(err, &denial) && denial.Err != nil
	}
	if ours {
		now := time.Now().Unix()
		if n.told[codeNumber(code)].Swap(now) != now {
			level = slog.LevelError
		}
	}
	if !n.log.Enabled(n.ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("endpoint", req.ep.name),
		slog.String("code", string(code)),
		slog.String("error", err.Error()),
	}
	if denial != nil && denial.Err != nil {
		attrs = append(attrs, slog.String("cause", denial.Err.Error()))
	}
	n.log.LogAttrs(n.ctx, level, "request refused", attrs...)
}
