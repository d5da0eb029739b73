package cel

import (
	"errors"
	"fmt"

	celgo "cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"batpak/gates"
)

// Limits.
const (
	DefaultCost   = 10_000
	MaxCost       = 1_000_000
	MaxExpression = 16 << 10 // characters
	MaxValues     = 1 << 16  // in a payload that is decoded: scalars, arrays, maps and keys
)

// Codes of denials.
const (
	CodeExpression = "expression" // the expression said no, and Options has no code
	CodeError      = "gate_error" // it could not be evaluated: details why
)

// ErrOptions is matched by the error of New for a Code, Message or Cost that is out of its limits.
var ErrOptions = errors.New("bad options")

// Options say what a denial looks like. Zero values are good.
type Options struct {
	Code    string // up to gates.MaxCode bytes; CodeExpression when empty
	Message string // when the expression gives false; up to gates.MaxMessage bytes
	Cost    uint64 // the budget of one evaluation, up to MaxCost; DefaultCost when 0
}

// CompileError says what is wrong with an expression, and where.
type CompileError struct {
	Gate    string
	Line    int // from 1; 0 when the place is not known
	Column  int // from 1, in characters
	Message string
}

// Error returns gate, place and message.
func (e *CompileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("cel: %s: %s", e.Gate, e.Message)
	}
	return fmt.Sprintf("cel: %s: line %d, column %d: %s", e.Gate, e.Line, e.Column, e.Message)
}

// New makes a gate from an expression. Its errors are of type *CompileError, or match ErrOptions;
// the name is NewChain's to check. The gate keeps nothing between proposals and is safe for
// concurrent use.
func New(name, expression string, o Options) (gates.Gate, error) {
	if o.Code == "" {
		o.Code = CodeExpression
	}
	if o.Cost == 0 {
		o.Cost = DefaultCost
	}
	if len(o.Code) > gates.MaxCode || len(o.Message) > gates.MaxMessage || o.Cost > MaxCost {
		return nil, fmt.Errorf("cel: %s: %w: code of %d bytes, message of %d, cost %d", name, ErrOptions, len(o.Code), len(o.Message), o.Cost)
	}
	program, err := compile(name, expression, o.Cost)
	if err != nil {
		return nil, err
	}
	return gates.New(name, (&gate{program: program, o: o}).judge), nil
}

func compile(name, expression string, cost uint64) (celgo.Program, error) {
	fail := func(err error) (celgo.Program, error) {
		return nil, &CompileError{Gate: name, Message: err.Error()}
	}
	m := make(matcher)
	env, err := celgo.NewCustomEnv(append(standard(m),
		celgo.Macros(celgo.StandardMacros...),
		celgo.ParserExpressionSizeLimit(MaxExpression),
		celgo.CrossTypeNumericComparisons(true),
		declarations(),
	)...)
	if err != nil {
		return fail(err)
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		first := issues.Errors()[0]
		return nil, &CompileError{
			Gate: name, Line: first.Location.Line(), Column: max(first.Location.Column(), 0) + 1, Message: first.Message,
		}
	}
	switch ast.OutputType().Kind() {
	case types.BoolKind, types.StringKind, types.DynKind:
	default:
		return nil, &CompileError{
			Gate: name, Line: 1, Column: 1,
			Message: fmt.Sprintf("it gives a %s: a gate gives a bool or a string", ast.OutputType()),
		}
	}
	if err := m.patterns(name, ast.NativeRep()); err != nil {
		return nil, err
	}
	program, err := env.Program(ast,
		celgo.EvalOptions(celgo.OptOptimize),
		celgo.CostTracking(prices{}),
		celgo.CostLimit(cost),
	)
	if err != nil {
		return fail(err)
	}
	return program, nil
}

type gate struct {
	program celgo.Program
	o       Options
}

func (g *gate) judge(p *gates.Proposal, v gates.View) *gates.Denial {
	vars := &variables{p: p, v: v}
	result, _, err := g.program.Eval(vars)
	var cancelled interpreter.EvalCancelledError
	switch {
	case vars.err != nil: // whatever the expression made of it
		return failed("payload", "the payload cannot be evaluated", vars.err)
	case errors.As(err, &cancelled):
		return failed("cost", "the evaluation takes too long", err)
	case err != nil:
		return failed("evaluation", "the expression cannot be evaluated", err)
	}
	switch r := result.(type) {
	case types.Bool:
		if r {
			return nil
		}
		return &gates.Denial{Code: g.o.Code, Message: g.o.Message}
	case types.String:
		if r == "" {
			return nil
		}
		return &gates.Denial{Code: g.o.Code, Message: string(r)}
	}
	return failed("evaluation", "the expression gives neither a bool nor a string", fmt.Errorf("it gives a %s", result.Type()))
}

func failed(why, message string, err error) *gates.Denial {
	return &gates.Denial{Code: CodeError, Message: message, Details: map[string]any{"why": why}, Err: err}
}
