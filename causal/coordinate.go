package causal

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest scope, entity, data subject or idempotency key, in bytes.
const MaxName = 256

// SystemScope is the scope of the events that a node itself writes. Nobody else may append to it.
const SystemScope = "_batpak"

// ErrCoordinate is matched by every error of Coordinate.Validate and CheckName.
var ErrCoordinate = errors.New("bad coordinate")

// Coordinate says where an event belongs. Scope isolates (a tenant, a bounded context);
// Entity is what the event is about.
type Coordinate struct {
	Scope  string
	Entity string
}

// Validate reports, as an error that matches ErrCoordinate, whether scope or entity is not
// 1 to MaxName bytes of UTF-8 without control characters.
func (c Coordinate) Validate() error {
	if err := CheckName("scope", c.Scope); err != nil {
		return err
	}
	return CheckName("entity", c.Entity)
}

// String returns "scope/entity", for people. It is not reversible.
func (c Coordinate) String() string { return c.Scope + "/" + c.Entity }

// CheckName applies the rule for scopes and entities to s. The word what names s in the error,
// which matches ErrCoordinate.
func CheckName(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: %s is empty", ErrCoordinate, what)
	case len(s) > MaxName:
		return fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrCoordinate, what, len(s), MaxName)
	}
	ascii := true
	for i := range len(s) {
		b := s[i]
		if b < 0x20 || b == 0x7f {
			return fmt.Errorf("%w: %s has a control character at byte %d", ErrCoordinate, what, i)
		}
		if b >= utf8.RuneSelf {
			ascii = false
		}
	}
	if ascii {
		return nil
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s is not UTF-8", ErrCoordinate, what)
	}
	for i, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: %s has a control character at byte %d", ErrCoordinate, what, i)
		}
	}
	return nil
}

// Stream names one branch of a coordinate's history: the unit of the hash chain and of
// optimistic concurrency. Lane 0 is the main one.
type Stream struct {
	Coordinate
	Lane uint32
}

// String returns "scope/entity", with "@lane" behind it when the lane is not 0.
func (s Stream) String() string {
	if s.Lane == 0 {
		return s.Coordinate.String()
	}
	return fmt.Sprintf("%s@%d", s.Coordinate, s.Lane)
}
