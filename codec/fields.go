package codec

import "batpak/causal"

// The functions below are one field each: a key, its value, and when it is there.

func uintField[T ~uint8 | ~uint16 | ~uint32 | ~uint64](f *form, key string, p *T, when presence) {
	if f.field(key, when, *p == 0) {
		uintValue(f, p)
	}
}

// uintPtrField is a number whose absence is not the same as 0.
func uintPtrField[T ~uint8 | ~uint16 | ~uint32 | ~uint64](f *form, key string, p **T) {
	if f.field(key, optional, *p == nil) {
		if f.mode == decoding {
			*p = new(T)
		}
		uintValue(f, *p)
	}
}

func boolField(f *form, key string, p *bool, when presence) {
	if f.field(key, when, !*p) {
		boolValue(f, p)
	}
}

func strField[T textual](f *form, key string, p *T, when presence) {
	if f.field(key, when, *p == "") {
		strValue(f, p)
	}
}

// nameField is an optional string of 1 to causal.MaxName bytes.
func nameField(f *form, key string, p *string) {
	if f.field(key, optional, *p == "") {
		nameValue(f, p)
	}
}

// coordinateField is one name of a coordinate.
func coordinateField(f *form, key string, p *string, when presence) {
	if f.field(key, when, *p == "") {
		start := f.off
		strValue(f, p)
		if f.mode == decoding && f.err == nil {
			if err := causal.CheckName(key, *p); err != nil {
				f.bad(start, err.Error())
			}
		}
	}
}

func eventIDField(f *form, key string, p *causal.EventID, when presence) {
	if f.field(key, when, p.IsZero()) {
		idValue(f, p[:], p)
	}
}

func lineageField(f *form, key string, p *causal.Lineage, when presence) {
	if f.field(key, when, p.IsZero()) {
		idValue(f, p[:], p)
	}
}

func hashField(f *form, key string, p *causal.Hash, when presence) {
	if f.field(key, when, p.IsZero()) {
		idValue(f, p[:], p)
	}
}

// ackField is a level of durability.
func ackField(f *form, key string, p *Ack, when presence) {
	if f.field(key, when, *p == "") {
		if f.mode == encoding {
			f.b = appendStr(f.b, string(*p))
			return
		}
		start := f.off
		switch string(f.str()) {
		case string(AckDisk):
			*p = AckDisk
		case string(AckStream):
			*p = AckStream
		default:
			f.bad(start, "is not disk or stream")
		}
	}
}

func rawField(f *form, key string, p *[]byte, when presence) {
	if f.field(key, when, *p == nil) {
		rawValue(f, p)
	}
}

func envelopeField(f *form, key string, p *[]byte, when presence) {
	if f.field(key, when, *p == nil) {
		envelopeValue(f, p)
	}
}

func metaField(f *form, key string, p *map[string]string) {
	if f.field(key, optional, len(*p) == 0) {
		metaValue(f, p)
	}
}

// listField is an array of at most most elements. A required one has at least one when it
// belongs to a request.
func listField[T any](f *form, key string, p *[]T, when presence, most int, each func(*form, *T)) {
	if f.field(key, when, len(*p) == 0) {
		listValue(f, p, 0, most, each)
	}
}

// bodiesField is an array of maps.
func bodiesField[T any, P interface {
	*T
	Body
}](f *form, key string, p *[]T, when presence, least, most int) {
	if f.field(key, when, len(*p) == 0) {
		bodiesValue[T, P](f, p, least, most)
	}
}

// bodyField is a map whose absence is nil.
func bodyField[T any, P interface {
	*T
	Body
}](f *form, key string, p **T) {
	if f.field(key, optional, *p == nil) {
		if f.mode == decoding {
			*p = new(T)
		}
		f.nested(P(*p), key)
	}
}
