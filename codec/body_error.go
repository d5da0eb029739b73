package codec

// Code says what kind of refusal an error reply is.
type Code string

const (
	CodeInvalid     Code = "invalid"
	CodeDenied      Code = "denied"
	CodeNotFound    Code = "not_found"
	CodeConflict    Code = "conflict"
	CodeShredded    Code = "shredded"
	CodeTooLarge    Code = "too_large"
	CodeErased      Code = "erased"
	CodeKeyMissing  Code = "key_missing"
	CodeBusy        Code = "busy"
	CodeInternal    Code = "internal"
	CodeUnavailable Code = "unavailable"
	CodeStorage     Code = "storage"
)

var codeNumbers = map[Code]int{
	CodeInvalid: 400, CodeDenied: 403, CodeNotFound: 404, CodeConflict: 409, CodeShredded: 410,
	CodeTooLarge: 413, CodeErased: 423, CodeKeyMissing: 424, CodeBusy: 429, CodeInternal: 500,
	CodeUnavailable: 503, CodeStorage: 507,
}

// Number returns the number that goes with the code in Nats-Service-Error-Code; that of
// CodeInternal for a code that is none of the constants.
func (c Code) Number() int {
	if n, ok := codeNumbers[c]; ok {
		return n
	}
	return codeNumbers[CodeInternal]
}

// ErrorReply is the body of a refusal.
type ErrorReply struct {
	Code    Code
	Message string
	Retry   bool   // the same request may succeed later
	Gate    string // which gate said no

	// Details depend on the code. To be written, values are nil, booleans, numbers, strings,
	// []byte, the identifiers of package causal, Envelopes, []any, []string and
	// map[string]any of these, or what the msgpack library encodes. When read
	// they are nil, bool, uint64, int64 (negative only), float64, string, []byte, time.Time,
	// []any and map[string]any.
	Details map[string]any
}

func (*ErrorReply) reply() {}

func (e *ErrorReply) fields(f *form) {
	strField(f, "code", &e.Code, required)
	strField(f, "message", &e.Message, required)
	boolField(f, "retry", &e.Retry, required)
	strField(f, "gate", &e.Gate, optional)
	if f.field("details", optional, len(e.Details) == 0) {
		detailsValue(f, &e.Details)
	}
}

// Envelopes is a list of envelopes among the details of an error: binary in MessagePack, the
// objects of their keys in JSON.
type Envelopes [][]byte

// Conflict is the details of a CodeConflict.
type Conflict struct {
	Version *uint64   // the stream's version now; nil when unless matched
	Seq     uint64    // the sequence of the stream's, or the matching, last event
	Events  Envelopes // the events after what was expected, or those that matched; perhaps not all
}

// Details returns the conflict as an ErrorReply has it.
func (c *Conflict) Details() map[string]any {
	d := map[string]any{"seq": c.Seq, "events": c.Events}
	if c.Version != nil {
		d["version"] = *c.Version
	}
	return d
}

// Conflict reads Details as those of a CodeConflict, as either format gave them. It returns
// false when they are not, as when a key was used for other content.
func (e *ErrorReply) Conflict() (Conflict, bool) {
	var c Conflict
	events, ok := e.Details["events"]
	if e.Code != CodeConflict || !ok {
		return c, false
	}
	if c.Seq, ok = uintOf(e.Details["seq"]); !ok {
		return c, false
	}
	if v, there := e.Details["version"]; there {
		n, ok := uintOf(v)
		if !ok {
			return c, false
		}
		c.Version = &n
	}
	c.Events, ok = envelopesOf(events)
	return c, ok
}
