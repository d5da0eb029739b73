// Package cel makes gates from expressions in the Common Expression Language (https://cel.dev), so
// that a rule can be written where a node is configured.
//
// An expression gives true to permit and false to deny; or a string: "" permits, and any other
// is the denial's message. What it can use:
//
//	data     dyn                the payload, see below
//	scope    string
//	entity   string
//	lane     int
//	kind     int                such as 0x1001
//	schema   int                a schema past the range of int is the largest int
//	subject  string             "" when the event names none
//	meta     map(string, string)
//	causes   list(string)       ids; of another journal as "lineage/id"
//	corr     string             "" when there is none
//	version  int                that the event would get: 1 for the first of its stream
//	head     map(string, int)   seq and version of the stream's last event, 0 without one
//	now      timestamp          that the event would get; it never goes back
//
// and CEL's standard library and macros.
//
// # The payload
//
// It is decoded when the expression uses it. An integer is an int, or a uint when it is greater
// than an int can be; a float is a double; binary is bytes; a timestamp is a timestamp, and one
// outside of the years 1 to 9999, like every other extension, is its bytes. Keys are strings,
// integers and booleans. Not evaluated, and so denied, is a payload that is not MessagePack, has
// other keys, has a key twice (readers differ in which one they take), or more than MaxValues
// values.
//
// Numbers of different types compare by value. They do not add: data.n + 1 fails when data.n is a
// double. A key that is not there is an error as well; has(data.n) asks.
//
// # Errors deny
//
// What the compiler finds is a *CompileError, with the place. What goes wrong later denies with
// CodeError, and says in the details why: "payload", "cost", or "evaluation". What it was exactly is
// in Denial.Err, for the node's log: it may quote the payload.
//
// # Cost
//
// A payload can be written to be slow, and all appends wait with a gate. So each evaluation has a
// budget: about 1 for each step, and more for what goes through strings, lists and maps. The
// limit is checked after each step, so the last one may go past it by its own size. The function
// matches takes a literal of at most 1024 bytes for its pattern, and the longer that is the shorter the
// text may be (20 KiB and a pattern of 50 characters fit). There is no
// limit by the clock: it would judge the same event in two ways.
package cel
