package faultfs

import "path"

// Rule says which operations an effect happens to.
//
// A rule counts the operations that match On, Name and Site, from when it is added to
// the injector. Operations that another rule failed are counted too.
type Rule struct {
	// On is the set of operations that the rule looks at. One operation
	// matches when it shares a bit with the set.
	On Op

	// Name is a pattern as of path.Match for the whole name; "" matches any. A
	// rename matches by either of its names. While a pattern that is not well
	// formed is in place, every operation in On fails with path.ErrBadPattern.
	Name string

	// Site is the place in the program that asks, as [Call.Site] has it; "" matches
	// any. It needs [Injector.NoteSites].
	Site string

	// Nth is the one matching operation that is meant, from 1. 0 means every.
	Nth int

	// Sticky means the Nth and all after it.
	Sticky bool

	// Do is what happens. The zero Effect is nothing at all.
	Do Effect
}

func (r *Rule) matches(c *Call) (bool, error) {
	if r.On&c.Op == 0 || r.Site != "" && r.Site != c.Site {
		return false, nil
	}
	if r.Name == "" {
		return true, nil
	}
	ok, err := path.Match(r.Name, c.Name)
	if !ok && err == nil && c.To != "" {
		ok, err = path.Match(r.Name, c.To)
	}
	return ok, err
}

func (r *Rule) fires(count int) bool {
	return r.Nth == 0 || count == r.Nth || r.Sticky && count > r.Nth
}
