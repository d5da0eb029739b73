//go:build race

package journal

func init() { flipStep = 7 }
