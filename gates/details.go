package gates

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// Limits of a denial's details.
const (
	MaxDetails      = 4096 // bytes of keys and values together; a number counts 8
	MaxDetailsDepth = 8
)

// copyDetails returns a deep copy of details that shares nothing with them, or says why there is
// none. A gate may go on to change its own map while the copy is being encoded for the reply.
func copyDetails(details map[string]any) map[string]any {
	if len(details) == 0 {
		return nil
	}
	c := copier{left: MaxDetails}
	out, err := c.copy(details, 0)
	if err != nil {
		return map[string]any{"dropped": clean(err.Error(), 256)}
	}
	return out.(map[string]any)
}

var (
	errDetailsSize  = fmt.Errorf("more than %d bytes", MaxDetails)
	errDetailsDepth = fmt.Errorf("more than %d deep", MaxDetailsDepth)
	errDetailsFloat = errors.New("a number that is not finite")
)

// copier counts down the bytes that are left.
type copier struct{ left int }

func (c *copier) take(n int) error {
	if c.left -= n; c.left < 0 {
		return errDetailsSize
	}
	return nil
}

// copy returns v as nil, bool, a basic number type, string, []byte, []any or map[string]any.
func (c *copier) copy(v any, depth int) (any, error) {
	switch v := v.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return v, c.take(8)
	case string:
		return clean(v, len(v)), c.take(len(v) + 1)
	case []byte:
		if err := c.take(len(v) + 1); err != nil {
			return nil, err
		}
		return append([]byte{}, v...), nil
	case encoding.TextMarshaler:
		b, err := v.MarshalText()
		if err != nil {
			return nil, err
		}
		return clean(string(b), len(b)), c.take(len(b) + 1)
	}
	return c.reflected(reflect.ValueOf(v), depth)
}

func (c *copier) reflected(v reflect.Value, depth int) (any, error) {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), c.take(8)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), c.take(8)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint(), c.take(8)
	case reflect.Float32, reflect.Float64:
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errDetailsFloat
		}
		return f, c.take(8)
	case reflect.String:
		return c.copy(v.String(), depth)
	case reflect.Slice, reflect.Array, reflect.Map:
		if depth >= MaxDetailsDepth {
			return nil, errDetailsDepth
		}
		if v.Kind() == reflect.Map {
			return c.table(v, depth)
		}
		return c.list(v, depth)
	}
	return nil, fmt.Errorf("a value of type %s", v.Type())
}

func (c *copier) list(v reflect.Value, depth int) (any, error) {
	if err := c.take(1 + v.Len()); err != nil {
		return nil, err
	}
	out := make([]any, v.Len())
	for i := range out {
		e, err := c.copy(v.Index(i).Interface(), depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}

func (c *copier) table(v reflect.Value, depth int) (any, error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("a map with keys of type %s", v.Type().Key())
	}
	if err := c.take(1 + 2*v.Len()); err != nil {
		return nil, err
	}
	out := make(map[string]any, v.Len())
	for it := v.MapRange(); it.Next(); {
		key := it.Key().String()
		if err := c.take(len(key)); err != nil {
			return nil, err
		}
		e, err := c.copy(it.Value().Interface(), depth+1)
		if err != nil {
			return nil, err
		}
		out[clean(key, len(key))] = e
	}
	return out, nil
}
