package codec

import (
	"bytes"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// fallbackTag names struct fields that have no msgpack tag.
const fallbackTag = "json"

// encodeGo returns a Go value as MessagePack, with every map sorted by key: the library sorts
// few kinds of map, and equal values should be equal bytes.
func encodeGo(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := msgpack.GetEncoder()
	defer msgpack.PutEncoder(e)
	e.Reset(&buf)
	e.SetCustomStructTag(fallbackTag)
	e.UseCompactInts(true)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	if err := check(buf.Bytes()); err != nil {
		return nil, err
	}
	var m mapSorter
	return m.appendSorted(make([]byte, 0, buf.Len()), &reader{b: buf.Bytes()}), nil
}

// decodeGo checks a payload and reads it into the Go value that v points to. Its errors match
// ErrMalformed.
func decodeGo(payload []byte, v any) error {
	if err := check(payload); err != nil {
		return err
	}
	d := msgpack.NewDecoder(bytes.NewReader(payload))
	d.SetCustomStructTag(fallbackTag)
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w payload: %w", ErrMalformed, err)
	}
	return nil
}
