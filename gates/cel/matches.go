package cel

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	celgo "cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	maxPattern  = 1024    // bytes
	maxMatching = 1 << 20 // bytes of text times instructions of the pattern
)

// standard is CEL's standard library with a matches of our own: the library's is paid for after it
// is done, and one search through a long text can take half a second.
func standard(m matcher) []celgo.EnvOption {
	text := []*celgo.Type{celgo.StringType, celgo.StringType}
	return []celgo.EnvOption{
		celgo.StdLib(celgo.StdLibSubset(env.NewLibrarySubset().AddExcludedFunctions(env.NewFunction("matches")))),
		celgo.Function("matches",
			celgo.MemberOverload("string_matches_string", text, celgo.BoolType, celgo.BinaryBinding(m.matches)),
			celgo.Overload("matches_string_string", text, celgo.BoolType, celgo.BinaryBinding(m.matches))),
	}
}

// patterns compiles the patterns of an expression, which must be literals: one that came with the
// payload could be made to take long to compile.
func (m matcher) patterns(name string, a *ast.AST) error {
	for _, call := range ast.MatchDescendants(ast.NavigateAST(a), ast.FunctionMatcher("matches")) {
		args := call.AsCall().Args()
		last := args[len(args)-1]
		place := a.SourceInfo().GetStartLocation(last.ID())
		fail := func(message string) error {
			return &CompileError{Gate: name, Line: place.Line(), Column: place.Column() + 1, Message: message}
		}
		if last.Kind() != ast.LiteralKind {
			return fail("the pattern of matches has to be a literal")
		}
		expression, _ := last.AsLiteral().Value().(string)
		if len(expression) > maxPattern {
			return fail(fmt.Sprintf("the pattern of matches has %d bytes, the limit is %d", len(expression), maxPattern))
		}
		p, err := compilePattern(expression)
		if err != nil {
			return fail(err.Error())
		}
		m[types.String(expression)] = p
	}
	return nil
}

// matcher has the patterns of one expression. It does not change after that was compiled.
type matcher map[types.String]pattern

type pattern struct {
	re           *regexp.Regexp
	instructions int
}

func (m matcher) matches(text, expression ref.Val) ref.Val {
	s, ok := text.(types.String)
	literal, also := expression.(types.String)
	p, known := m[literal]
	if !ok || !also || !known {
		return types.NewErr("no such overload: matches")
	}
	if n := len(s) * p.instructions; n > maxMatching {
		return types.NewErr("matches: a text of %d bytes is too long for this pattern", len(s))
	}
	return types.Bool(p.re.MatchString(string(s)))
}

func compilePattern(expression string) (p pattern, err error) {
	if p.re, err = regexp.Compile(expression); err != nil {
		return p, err
	}
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return p, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return p, err
	}
	p.instructions = len(program.Inst)
	return p, nil
}
