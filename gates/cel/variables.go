package cel

import (
	"math"

	celgo "cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"batpak/causal"
	"batpak/gates"
)

func declarations() celgo.EnvOption {
	text, number := celgo.StringType, celgo.IntType
	return celgo.Lib(library{
		celgo.Variable("data", celgo.DynType),
		celgo.Variable("scope", text), celgo.Variable("entity", text), celgo.Variable("lane", number),
		celgo.Variable("kind", number), celgo.Variable("schema", number), celgo.Variable("subject", text),
		celgo.Variable("meta", celgo.MapType(text, text)), celgo.Variable("causes", celgo.ListType(text)),
		celgo.Variable("corr", text), celgo.Variable("version", number),
		celgo.Variable("head", celgo.MapType(text, number)), celgo.Variable("now", celgo.TimestampType),
	})
}

// library is several options as one.
type library []celgo.EnvOption

func (l library) CompileOptions() []celgo.EnvOption     { return l }
func (l library) ProgramOptions() []celgo.ProgramOption { return nil }

// variables are what one evaluation sees. They are made when they are asked for: most expressions
// use few, and a payload is costly.
type variables struct {
	p    *gates.Proposal
	v    gates.View
	data ref.Val
	err  error // why there is no data
}

func (x *variables) Parent() interpreter.Activation { return nil }

func (x *variables) ResolveName(name string) (any, bool) {
	h := &x.p.Header
	switch name {
	case "data":
		return x.payload(), true
	case "scope":
		return types.String(h.Scope), true
	case "entity":
		return types.String(h.Entity), true
	case "lane":
		return types.Int(h.Lane), true
	case "kind":
		return types.Int(h.Kind), true
	case "schema":
		return number(h.Schema), true
	case "subject":
		return types.String(h.Subject), true
	case "meta":
		return types.NewStringStringMap(types.DefaultTypeAdapter, h.Meta), true
	case "causes":
		return types.NewStringList(types.DefaultTypeAdapter, causes(h.Causes)), true
	case "corr":
		if h.Correlation.IsZero() {
			return types.String(""), true
		}
		return types.String(h.Correlation.String()), true
	case "version":
		return number(h.Version), true
	case "head":
		var head causal.Head
		if x.v != nil {
			head = x.v.Head(h.Stream())
		}
		return types.NewRefValMap(types.DefaultTypeAdapter, map[ref.Val]ref.Val{
			types.String("seq"): number(head.Seq), types.String("version"): number(head.Version),
		}), true
	case "now":
		return types.Timestamp{Time: h.Time.Time()}, true
	}
	return nil, false
}

// payload decodes the payload once.
func (x *variables) payload() ref.Val {
	if x.data != nil {
		return x.data
	}
	if x.data, x.err = decode(x.p.Data); x.err != nil {
		x.data = types.WrapErr(x.err)
	}
	return x.data
}

func number(n uint64) types.Int { return types.Int(min(n, math.MaxInt64)) }

func causes(list []causal.Cause) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.ID.String()
		if !c.Lineage.IsZero() {
			out[i] = c.Lineage.String() + "/" + out[i]
		}
	}
	return out
}
