// Package gatefile reads gates from a file in YAML, so that the rules of a node can be changed
// without building one.
//
// A file is a map with the one key gates: the list of them, in the order in which they are asked.
// Each has a name, exactly one rule, and perhaps the proposals that it is about:
//
//	gates:
//	  - name: size
//	    size: {max_bytes: 4096}
//
//	  - name: kinds                       # the first that fits the scope counts; no scope fits: denied
//	    kinds:
//	      - {scope: "guest-*", allow: [0x1001]}
//	      - {scope: "*", allow: [0x1000-0x1fff, 0x2001]}
//
//	  - name: paid-for
//	    when: {kinds: [0x2001]}           # also scopes and entities; what is left out means all
//	    causes: {at_least: 1, kinds: [0x1001]}
//
//	  - name: guests
//	    when: {scopes: ["guest-*"]}
//	    rate: {events: 10, per: 1s, burst: 50, by: scope}     # or by: entity
//
//	  - name: limit
//	    cel: {expr: "data.cents <= 5000", message: "no more than 5000", code: over_limit, cost: 10000}
//
// In scopes and entities "*" stands for any characters; kinds are as gates.ParseKinds reads them; an
// expression is as package cel has it.
//
// Reading is strict: a key that is not known, a key that is there twice, a second document and a
// value of another type are errors with the line, because a rule that is passed over by mistake
// permits. So is a file without gates.
package gatefile
