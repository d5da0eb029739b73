package cel

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// prices says what a call costs where the library looks at the outer size alone, and the call goes
// all the way down or through: comparisons of lists and maps, and functions of long strings.
type prices struct{}

func (prices) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	var cost uint64 = 1
	switch function {
	case operators.Equals, operators.NotEquals:
		if len(args) == 2 {
			cost += compared(args[0], args[1])
		}
	case operators.In, operators.OldIn:
		if len(args) == 2 {
			if _, ok := args[1].(traits.Mapper); ok {
				cost += weight(args[0])
			} else {
				cost += weight(args[1])
			}
		}
	case "matches": // a step of the search for each byte of the pattern
		if len(args) == 2 {
			cost += (1 + text(args[0])) * (1 + text(args[1])) * 8
		}
	default:
		for _, a := range args {
			cost += text(a)
		}
	}
	return &cost
}

// compared is the price of comparing two values.
func compared(a, b ref.Val) uint64 {
	x, ok := a.(traits.Sizer)
	y, both := b.(traits.Sizer)
	if !ok || !both {
		return 0
	}
	switch a.(type) {
	case types.String, types.Bytes:
		return min(text(a), text(b))
	}
	if a.Type() != b.Type() || x.Size() != y.Size() {
		return 0 // they differ at first sight
	}
	return min(weight(a), weight(b))
}

// text is the price of going through a string or bytes.
func text(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v)) / 16
	case types.Bytes:
		return uint64(len(v)) / 16
	}
	return 0
}

// weight is the price of going through a value all the way down. It stops at MaxCost: more than that
// is over every limit.
func weight(v ref.Val) uint64 {
	total := uint64(0)
	add := func(v ref.Val) bool {
		total += 1 + text(v)
		switch v.(type) {
		case traits.Lister, traits.Mapper:
			total += weight(v)
		}
		return total <= MaxCost
	}
	switch v := v.(type) {
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			if !add(key) || !add(v.Get(key)) {
				break
			}
		}
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True; {
			if !add(it.Next()) {
				break
			}
		}
	default:
		return text(v)
	}
	return total
}
