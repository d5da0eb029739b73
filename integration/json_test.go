package integration

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// appendJSON writes what pack writes, as JSON.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case fields:
		for i, x := range v {
			dst = append(append(dst, "{,"[min(i, 1)]), strconv.Quote(x.name)...)
			dst = appendJSON(append(dst, ':'), x.value)
		}
		return append(dst, '}')
	case []any:
		for i, x := range v {
			dst = appendJSON(append(dst, "[,"[min(i, 1)]), x)
		}
		return append(dst, ']')
	default:
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return append(dst, text...)
	}
}

// receiptFieldsOfJSON reads a receipt, or the receipts of a batch, as MessagePack has them: ids and
// hashes as bytes.
func receiptFieldsOfJSON(text []byte) (fields, error) {
	type body struct {
		ID, Hash, Prev, Lineage, Durable string
		Seq, Version, Time               uint64
		Duplicate                        bool
		Receipts                         []body
	}
	var b body
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	convert := func(b body) fields {
		f := fields{{"seq", b.Seq}, {"version", b.Version}, {"time", b.Time}, {"durable", b.Durable}, {"duplicate", b.Duplicate},
			{"id", uuidBytes(b.ID)}, {"lineage", uuidBytes(b.Lineage)}, {"hash", hexBytes(b.Hash)}}
		if b.Prev != "" {
			f = append(f, field{"prev", hexBytes(b.Prev)})
		}
		return f
	}
	if b.Receipts == nil {
		return convert(b), nil
	}
	list := make([]any, len(b.Receipts))
	for i, r := range b.Receipts {
		list[i] = convert(r)
	}
	return fields{{"receipts", list}}, nil
}

// uuidBytes are the bytes of an id in its text form; nil when it is none.
func uuidBytes(text string) []byte {
	if len(text) != 36 {
		return nil
	}
	return hexBytes(strings.ReplaceAll(text, "-", ""))
}

func hexBytes(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil || text != strings.ToLower(text) {
		return nil
	}
	return b
}
