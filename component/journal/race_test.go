//go:build race

package journal_test

// The race detector takes ten times as long, and looks for something else.
func init() { rotStep, underRace = 23, true }
