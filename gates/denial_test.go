package gates_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"batpak/causal"
	"batpak/gates"
)

// settled returns what becomes of a gate's denial.
func settled(t *testing.T, d *gates.Denial) *gates.Denial {
	t.Helper()
	return denialOf(t, chain(t, asked("g", new(int), d)), proposal(), nil)
}

func TestDenialIsTheChainsOwn(t *testing.T) {
	inner := map[string]any{"n": 1}
	cause := errors.New("why")
	shared := &gates.Denial{Gate: "somebody else", Details: map[string]any{"inner": inner, "b": []byte{1}}, Err: cause}
	d := settled(t, shared)
	if d.Gate != "g" || d.Code != gates.CodeDenied || !errors.Is(d, cause) {
		t.Errorf("%+v", d)
	}
	if shared.Gate != "somebody else" || shared.Code != "" {
		t.Errorf("the gate's own denial was written to: %+v", shared)
	}
	inner["n"] = 2
	shared.Details["b"].([]byte)[0] = 2
	if want := map[string]any{"inner": map[string]any{"n": 1}, "b": []byte{1}}; !reflect.DeepEqual(d.Details, want) {
		t.Errorf("details changed with the gate's: %v", d.Details)
	}
}

func TestDenialIsBounded(t *testing.T) {
	long := strings.Repeat("é\xff", 5000)
	d := settled(t, &gates.Denial{Code: long, Message: long})
	if len(d.Code) > gates.MaxCode || len(d.Message) > gates.MaxMessage || len(d.Message) < gates.MaxMessage-8 {
		t.Errorf("code %d, message %d bytes", len(d.Code), len(d.Message))
	}
	if !utf8.ValidString(d.Code + d.Message) {
		t.Error("not UTF-8")
	}
	for n := gates.MaxMessage - 4; n < gates.MaxMessage+4; n++ { // a cut through a character
		if m := settled(t, &gates.Denial{Message: strings.Repeat("a", n) + "€€"}).Message; !utf8.ValidString(m) || len(m) > gates.MaxMessage || strings.Contains(m, "\uFFFD") {
			t.Errorf("%d: message ends in %q", n, m[n-4:])
		}
	}
}

func TestDenialTellsGateCodeAndMessage(t *testing.T) {
	if got := settled(t, &gates.Denial{Code: "c", Message: "m", Details: map[string]any{"d": 1}}).Error(); got != "gates: g: c: m" {
		t.Error(got)
	}
	if got := settled(t, &gates.Denial{}).Error(); got != "gates: g: denied" {
		t.Error(got)
	}
}

func TestDetailsBecomePlainValues(t *testing.T) {
	type cents int64
	type word string
	id := causal.EventID{1}
	for _, c := range []struct{ in, want any }{
		{nil, nil}, {true, true}, {7, 7}, {uint16(7), uint16(7)}, {1.5, 1.5}, {cents(7), int64(7)}, {word("w"), "w"},
		{"a\xffb", "a?b"},
		{id, id.String()}, {time.Unix(0, 0).UTC(), "1970-01-01T00:00:00Z"},
		{[]string{"a"}, []any{"a"}}, {[2]cents{1, 2}, []any{int64(1), int64(2)}},
		{map[word]cents{"a": 1}, map[string]any{"a": int64(1)}},
	} {
		d := settled(t, &gates.Denial{Details: map[string]any{"x": c.in}})
		if !reflect.DeepEqual(d.Details, map[string]any{"x": c.want}) {
			t.Errorf("%#v became %#v", c.in, d.Details)
		}
		if _, err := json.Marshal(d.Details); err != nil {
			t.Errorf("%#v: %v", c.in, err)
		}
	}
	deep := any(1)
	for range gates.MaxDetailsDepth - 1 {
		deep = []any{deep}
	}
	if d := settled(t, &gates.Denial{Details: map[string]any{"deep": deep}}); !reflect.DeepEqual(d.Details["deep"], deep) {
		t.Errorf("details at the limit of depth: %v", d.Details)
	}
	if d := settled(t, &gates.Denial{Details: map[string]any{}}); d.Details != nil {
		t.Errorf("%v", d.Details)
	}
}

func TestUnfitDetailsAreDropped(t *testing.T) {
	circle := map[string]any{}
	circle["circle"] = circle
	list := make([]any, 1)
	list[0] = list
	deep := any(1)
	for range gates.MaxDetailsDepth {
		deep = []any{deep}
	}
	wide := map[string]any{}
	for i := range gates.MaxDetails / 8 {
		wide[fmt.Sprint(i)] = nil
	}
	for what, v := range map[string]any{
		"circle": circle, "list in itself": list, "deep": deep, "wide": wide,
		"long string": strings.Repeat("a", gates.MaxDetails), "long bytes": make([]byte, gates.MaxDetails), "long list": make([]bool, gates.MaxDetails),
		"NaN": math.NaN(), "Inf": math.Inf(1), "channel": make(chan int), "function": func() {}, "struct": struct{}{}, "pointer": new(int),
		"number keys": map[int]int{1: 1}, "text error": textError{}, "long key": map[string]any{strings.Repeat("a", gates.MaxDetails): 1},
	} {
		d := settled(t, &gates.Denial{Code: "c", Details: map[string]any{"fine": 1, "x": v}})
		why, ok := d.Details["dropped"].(string)
		if d.Code != "c" || !ok || len(d.Details) != 1 || why == "" || len(why) > 256 {
			t.Errorf("%s: %v", what, d.Details)
		}
	}
}

type textError struct{}

func (textError) MarshalText() ([]byte, error) {
	return nil, errors.New(strings.Repeat("long ", 1000))
}
