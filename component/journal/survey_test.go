package journal

import (
	"errors"
	"testing"

	"batpak/codec"
)

func TestConditionsRangeOverBoundedEvents(t *testing.T) {
	j := &Journal{visible: 3 * maxSurveyed}
	for name, c := range map[string]struct {
		sel     codec.Selection
		refused bool
	}{
		"everything":         {codec.Selection{}, true},
		"one scope":          {codec.Selection{Scope: "s"}, true},
		"far behind":         {codec.Selection{After: 2*maxSurveyed - 1}, true},
		"near the head":      {codec.Selection{After: 2 * maxSurveyed}, false},
		"ended by until":     {codec.Selection{Until: maxSurveyed}, false},
		"led by the index":   {codec.Selection{Scope: "s", Entity: "e"}, false},
		"beyond the journal": {codec.Selection{After: 9 * maxSurveyed}, false},
	} {
		err := j.checkReach(&Batch{Events: []Append{{Unless: &c.sel}}})
		if errors.Is(err, ErrInvalid) != c.refused {
			t.Errorf("%s: got %v, want a refusal: %t", name, err, c.refused)
		}
	}
}
