package codec

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"batpak/causal"
)

// Errors of a Registry, matched with errors.Is.
var (
	// ErrRegistered: the kind and schema, or the Go type, is registered already.
	ErrRegistered = errors.New("registered already")
	// ErrUnregistered: nothing is registered for the Go type, the kind, or this schema of it.
	ErrUnregistered = errors.New("not registered")
	// ErrNewerSchema: the payload's schema is newer than every one that is registered for its
	// kind. The error is a *SchemaError.
	ErrNewerSchema = errors.New("newer schema")
	// ErrPayloadType: the payload's kind and schema are registered for another Go type.
	ErrPayloadType = errors.New("another payload type")
)

// SchemaError says that an event was written by a newer program. It matches ErrNewerSchema.
type SchemaError struct {
	Kind   causal.Kind
	Schema uint64 // of the event
	Newest uint64 // that is registered
}

// Error names the kind and both schemas.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("codec: payload: kind %s: schema %d is newer than %d", e.Kind, e.Schema, e.Newest)
}

// Is makes errors.Is match ErrNewerSchema.
func (e *SchemaError) Is(target error) bool { return target == ErrNewerSchema }

// Registry knows which Go type the payload of a kind and schema has. The zero value is
// ready; it is safe for concurrent use.
type Registry struct {
	mu     sync.RWMutex // guards the maps
	names  map[reflect.Type]payloadName
	types  map[payloadName]payloadType
	newest map[causal.Kind]uint64
	steps  map[payloadName]func(any) (any, error) // from a schema to the next
}

type payloadName struct {
	kind   causal.Kind
	schema uint64
}

type payloadType struct {
	typ    reflect.Type
	decode func(payload []byte) (any, error)
}

// Register makes T the payload type of a kind and schema. T is a struct as a rule; its fields
// are named by msgpack tags, else json tags, else their Go names. One type is one kind and
// schema: a second registration of either returns an error that matches ErrRegistered.
func Register[T any](r *Registry, kind causal.Kind, schema uint64) error {
	typ, name := reflect.TypeFor[T](), payloadName{kind, schema}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.types[name]; ok {
		return fmt.Errorf("codec: register %s: kind %s schema %d: %w", typ, kind, schema, ErrRegistered)
	}
	if _, ok := r.names[typ]; ok {
		return fmt.Errorf("codec: register %s: %w", typ, ErrRegistered)
	}
	if r.types == nil {
		r.names = make(map[reflect.Type]payloadName)
		r.types = make(map[payloadName]payloadType)
		r.newest = make(map[causal.Kind]uint64)
	}
	r.names[typ] = name
	r.types[name] = payloadType{typ: typ, decode: func(payload []byte) (any, error) {
		var v T
		err := decodeGo(payload, &v)
		return v, err
	}}
	r.newest[kind] = max(r.newest[kind], schema)
	return nil
}

// Encode returns the kind and schema that v's type, or the type it points to, is registered
// for, and v as MessagePack. Equal values give equal bytes: maps, and structs like them, are
// sorted by key.
func (r *Registry) Encode(v any) (causal.Kind, uint64, []byte, error) {
	typ := reflect.TypeOf(v)
	r.mu.RLock()
	name, ok := r.names[typ]
	if !ok && typ != nil && typ.Kind() == reflect.Pointer {
		name, ok = r.names[typ.Elem()]
	}
	r.mu.RUnlock()
	if !ok {
		return 0, 0, nil, fmt.Errorf("codec: encode %v: %w", typ, ErrUnregistered)
	}
	data, err := encodeGo(v)
	if err != nil {
		return 0, 0, nil, fmt.Errorf("codec: encode %v: %w", typ, err)
	}
	return name.kind, name.schema, data, nil
}

// Decode returns the payload of an event as a T. The payload is ev.Data when the event is not
// sealed, or what it was opened to. A payload of an older schema is made a T by the upcasts that lead
// there. Errors match ErrUnregistered, ErrNewerSchema, ErrPayloadType when it is a payload of
// another type and no upcasts lead to T, ErrUpcast, or ErrMalformed.
func Decode[T any](r *Registry, ev *causal.Event, payload []byte) (T, error) {
	var v T
	p, err := r.lookup(ev)
	if err != nil {
		return v, err
	}
	if typ := reflect.TypeFor[T](); p.typ != typ {
		if up, ok, err := r.upcast(p, ev, payload, typ); ok || err != nil {
			v, _ = up.(T)
			return v, err
		}
		return v, fmt.Errorf("codec: decode kind %s schema %d: %w: it is %s, not %s", ev.Kind, ev.Schema, ErrPayloadType, p.typ, typ)
	}
	if err := decodeGo(payload, &v); err != nil {
		return v, fmt.Errorf("codec: decode kind %s schema %d: %w", ev.Kind, ev.Schema, err)
	}
	return v, nil
}

// DecodeAny is Decode for a caller that switches over the types: it returns a value of the
// type that is registered, or that its upcasts lead to.
func (r *Registry) DecodeAny(ev *causal.Event, payload []byte) (any, error) {
	p, err := r.lookup(ev)
	if err != nil {
		return nil, err
	}
	v, err := p.decode(payload)
	if err != nil {
		return nil, fmt.Errorf("codec: decode kind %s schema %d: %w", ev.Kind, ev.Schema, err)
	}
	v, _, err = r.lift(v, payloadName{ev.Kind, ev.Schema}, nil)
	return v, err
}

// upcast decodes a payload of an older schema than that of typ. It returns false when no steps lead
// there.
func (r *Registry) upcast(p payloadType, ev *causal.Event, payload []byte, typ reflect.Type) (any, bool, error) {
	at := payloadName{ev.Kind, ev.Schema}
	r.mu.RLock()
	target, ok := r.names[typ]
	r.mu.RUnlock()
	if !ok || !r.leads(at, target) {
		return nil, false, nil
	}
	v, err := p.decode(payload)
	if err != nil {
		return nil, false, fmt.Errorf("codec: decode kind %s schema %d: %w", ev.Kind, ev.Schema, err)
	}
	return r.lift(v, at, &target)
}

func (r *Registry) lookup(ev *causal.Event) (payloadType, error) {
	r.mu.RLock()
	p, ok := r.types[payloadName{ev.Kind, ev.Schema}]
	newest, known := r.newest[ev.Kind]
	r.mu.RUnlock()
	switch {
	case ok:
		return p, nil
	case known && ev.Schema > newest:
		return p, &SchemaError{Kind: ev.Kind, Schema: ev.Schema, Newest: newest}
	default:
		return p, fmt.Errorf("codec: decode kind %s schema %d: %w", ev.Kind, ev.Schema, ErrUnregistered)
	}
}
