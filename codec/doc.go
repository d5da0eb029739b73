// Package codec is every byte that batpak reads or writes on the wire: the envelope of an
// event, the bodies of requests and replies, payloads, and the tokens of subjects. It knows
// nothing of disks or connections.
//
// # Untrusted bytes
//
// Check is the guard: it says whether bytes are exactly one MessagePack value whose declared
// lengths fit the bytes that are there, nested at most MaxDepth deep, with UTF-8 strings and nothing behind it. The
// library that turns payloads into Go values (vmihailenco/msgpack) believes lengths and
// nesting, so it never sees bytes that did not pass.
//
// The fixed formats, envelope and bodies, are read by a small cursor of this package instead:
// in one pass it checks and decodes, without copies, and it is strict where the library is
// lenient (which takes a float for an integer, nil for 0, and the last of a repeated key).
// Errors are of type *Error, with the place, and match ErrMalformed or ErrTooLarge.
//
// # Envelope
//
// An envelope is a MessagePack map with the keys below in this order. Integers and lengths are
// in their shortest form, and what is zero or empty is left out, so an event has exactly one
// envelope; DecodeEnvelope refuses every other.
//
//	v        uint        1
//	lineage  bin 16      the journal's
//	id       bin 16      the event's UUIDv7
//	seq      uint        from 1
//	scope    str         see causal.CheckName
//	entity   str
//	lane     uint32      left out when 0
//	version  uint        from 1
//	kind     uint16
//	schema   uint        left out when 0
//	time     uint        milliseconds since 1970
//	tick     uint16      left out when 0
//	causes   array       of bin 16 (id) or bin 32 (lineage, id), in the order given
//	corr     bin 16
//	subject  str         1 to 256 bytes
//	key      str         1 to 256 bytes
//	meta     map         str to str, sorted by the bytes of the keys
//	gates    array       of str, 1 to 256 bytes each
//	batch    array       [index, count], count at least 2, index from 0
//	prev     bin 32      left out for version 1, and only then
//	enc      map         {alg: "xc20p", key: bin 16, nonce: bin 24}, in this order
//	data     bin         the payload, or its ciphertext with its tag of 16 bytes
//
// A payload is one MessagePack value that passes Check. What AppendPrefix writes, everything
// before the key data, is what SealContext binds a ciphertext to.
//
// # Bodies
//
// Each body is a struct whose fields method describes it once, and Marshal and Unmarshal do the
// rest in either Format. In MessagePack, ids are bin 16, hashes bin 32, an envelope is a bin,
// and a payload (data of an append, data of an opened event) is embedded as the value it is,
// so that any client reads it in one go; it is kept byte for byte. Integers may come in any
// integer form, but not as floats. A request's unknown or repeated key is an error; a reply's
// unknown key is passed over. An optional field may be left out, and is not nil.
//
// In JSON, ids are UUID text, a cause in another journal is "lineage/id", hashes and key ids
// are lower-case hex, other bytes base64 (standard, padded), a payload is JSON (JSONToMsgpack
// and MsgpackToJSON say how), and an envelope is the object that EnvelopeJSON makes, of which
// a reader needs the key envelope alone.
//
// # Proofs
//
// A receipt's Proof holds without the node: VerifyReceipt takes it, the envelope that it is about, and
// the public key that its holder has got by another way.
//
// # System events
//
// What a node itself appends has a payload of a body too: Erasure for causal.KindShred, Renewal for
// causal.KindRenew, Denial for causal.KindDenial. They are maps in MessagePack, read like a reply: strictly, but keys that are not
// known are passed over.
//
//	entity    map {scope, entity}   exactly one of entity, kind, category, event and subject:
//	kind      uint16                which key scope it is about
//	category  uint8
//	event     bin 16
//	subject   str
//	reason    str                   of an erasure: why
//	actor     str                   of an erasure: who asked for it; may be left out
//	keys      array of bin 16       of an erasure: the keys it destroys, perhaps none
//	events    uint                  of an erasure: how many events those keys sealed
//	key       bin 16                of a renewal: the new key
//
// That of a Denial, for causal.KindDenial, has other keys:
//
//	gate      str      the gate that refused an append
//	code      str      the code that it gave
//	scope     str      where the event would have been
//	entity    str
//	lane      uint32   left out when 0
//	kind      uint16
//	dropped   uint     refusals before this one that were not kept; left out when 0
//
// # Payload types
//
// A Registry says which Go type the payload of a kind and schema has, for typed appends and
// reads. Equal values give equal bytes.
//
// Payloads change, and stored ones do not. A new form is a new schema of its kind, one more than
// the last, with a Go type of its own; Upcast registers the step from each schema to the next, and
// typed reads give what the steps lead to. Registry.Check finds a step that is missing when a
// program starts. A payload whose schema is newer than the program is a *SchemaError: what it means
// is not known here, and a reader that guessed would be wrong without knowing. Keep the bytes of a
// payload of each old schema with the tests of a program, and read them there.
//
// # Tokens
//
// EscapeToken gives the one form that a scope or an entity has in a subject; UnescapeToken
// accepts that form alone.
package codec
