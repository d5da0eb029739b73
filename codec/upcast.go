package codec

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"batpak/causal"
)

// Errors of upcasts, matched with errors.Is.
var (
	// ErrStep: the types of an upcast are not schemas of one kind that follow on one another.
	ErrStep = errors.New("not a step between schemas")
	// ErrGap: events of a schema cannot be read as the newest one. The error joins a *GapError for
	// each step that is missing.
	ErrGap = errors.New("a step is missing")
	// ErrUpcast: a step refused a payload. The error wraps the step's.
	ErrUpcast = errors.New("upcast failed")
)

// GapError names a step that is missing. It matches ErrGap.
type GapError struct {
	Kind causal.Kind
	From uint64 // the schema that nothing leads on from
}

// Error names the kind and both schemas.
func (e *GapError) Error() string {
	return fmt.Sprintf("codec: payload: kind %s: no upcast from schema %d to %d", e.Kind, e.From, e.From+1)
}

// Is makes errors.Is match ErrGap.
func (e *GapError) Is(target error) bool { return target == ErrGap }

// Upcast registers how a payload of one schema becomes one of the next. Both types are registered
// before, for the same kind, and To's schema is From's and 1. Decode and DecodeAny apply the
// steps one after the other, to what they return; stored events stay as they are. The step must
// give equal results for equal payloads: each read applies it again.
//
// Errors match ErrUnregistered, ErrStep, or ErrRegistered when From has a step.
func Upcast[From, To any](r *Registry, step func(From) (To, error)) error {
	from, to := reflect.TypeFor[From](), reflect.TypeFor[To]()
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.names[from]
	next, also := r.names[to]
	switch {
	case !ok || !also:
		return fmt.Errorf("codec: upcast from %s to %s: %w", from, to, ErrUnregistered)
	case old.kind != next.kind || next.schema != old.schema+1 || next.schema == 0 || step == nil:
		return fmt.Errorf("codec: upcast from %s (kind %s schema %d) to %s (kind %s schema %d): %w",
			from, old.kind, old.schema, to, next.kind, next.schema, ErrStep)
	case r.steps[old] != nil:
		return fmt.Errorf("codec: upcast from %s: %w", from, ErrRegistered)
	}
	if r.steps == nil {
		r.steps = make(map[payloadName]func(any) (any, error))
	}
	r.steps[old] = func(v any) (any, error) { return step(v.(From)) }
	return nil
}

// Check reports, as an error that matches ErrGap, whether there is a kind with a schema that cannot be
// read as its newest. A program calls it once, when all is registered, and so finds out at its
// start and not by an old event.
func (r *Registry) Check() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	least := make(map[causal.Kind]uint64)
	for name := range r.types {
		if schema, ok := least[name.kind]; !ok || name.schema < schema {
			least[name.kind] = name.schema
		}
	}
	var gaps []error
	for _, kind := range slices.Sorted(maps.Keys(least)) {
		for schema := least[kind]; schema < r.newest[kind]; schema++ {
			name := payloadName{kind, schema}
			if r.steps[name] != nil {
				continue
			}
			gaps = append(gaps, &GapError{Kind: kind, From: schema})
			if _, ok := r.types[name]; !ok { // the numbers in between may be many
				break
			}
		}
	}
	return errors.Join(gaps...)
}

// lift applies the steps from a payload's schema up to another one, or as far as they lead when
// target is nil. It returns false when they do not lead there.
func (r *Registry) lift(v any, at payloadName, target *payloadName) (any, bool, error) {
	for target == nil || at != *target {
		r.mu.RLock()
		step := r.steps[at]
		r.mu.RUnlock()
		if step == nil {
			return v, target == nil, nil
		}
		var err error
		if v, err = step(v); err != nil {
			return nil, false, fmt.Errorf("codec: decode kind %s schema %d: %w: %w", at.kind, at.schema, ErrUpcast, err)
		}
		at.schema++
	}
	return v, true, nil
}

// leads says whether there are steps from one schema to another.
func (r *Registry) leads(from, to payloadName) bool {
	if from.kind != to.kind || from.schema > to.schema {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for ; from != to; from.schema++ {
		if r.steps[from] == nil {
			return false
		}
	}
	return true
}
