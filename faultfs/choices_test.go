package faultfs_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"batpak/faultfs"
)

// ranges is what a program asks for: ranges of all sizes.
var ranges = []int{2, 3, 7, 1, 0, -5, 255, 256, 257, 1 << 16, 1<<16 + 1, 1 << 20, math.MaxInt}

func take(c *faultfs.Choices) (taken []int) {
	for _, n := range ranges {
		taken = append(taken, c.Intn(n))
	}
	return taken
}

func TestChoicesAreInRangeWhateverTheirSource(t *testing.T) {
	sources := map[string]*faultfs.Choices{
		"no bytes":      faultfs.FromBytes(nil),
		"one byte":      faultfs.FromBytes([]byte{0xff}),
		"high bytes":    faultfs.FromBytes(slices.Repeat([]byte{0xff}, 64)),
		"given":         faultfs.Given(slices.Repeat([]int{math.MaxInt}, 20)...),
		"given below 0": faultfs.Given(slices.Repeat([]int{-1, math.MinInt}, 20)...),
	}
	for seed := range uint64(50) {
		sources[fmt.Sprint("seed ", seed)] = faultfs.Seeded(seed)
	}
	for name, c := range sources {
		for i, v := range take(c) {
			if n := max(ranges[i], 1); v < 0 || v >= n {
				t.Errorf("%s: a choice among %d is %d", name, n, v)
			}
		}
		asked := len(slices.DeleteFunc(slices.Clone(ranges), func(n int) bool { return n <= 1 }))
		if got := len(c.Taken()); got != asked {
			t.Errorf("%s: %d choices were taken, want %d: one among one is none", name, got, asked)
		}
	}
}

func TestSameSeedMakesTheSameChoices(t *testing.T) {
	a, b := take(faultfs.Seeded(7)), take(faultfs.Seeded(7))
	if !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
	if want := []int{0, 1, 6, 0, 0, 0, 101, 51, 74, 23423, 53525, 36368}; !slices.Equal(a[:len(want)], want) {
		t.Errorf("seed 7 gives %v here, and %v elsewhere", a, want)
	}
	if slices.Equal(a, take(faultfs.Seeded(8))) {
		t.Error("another seed gives the same")
	}
}

func TestWhatIsBeyondTheEndOfASourceIsZero(t *testing.T) {
	for name, c := range map[string]*faultfs.Choices{
		"bytes": faultfs.FromBytes([]byte{1, 2}), "given": faultfs.Given(1, 2),
	} {
		if a, b := c.Intn(10), c.Intn(10); a != 1 || b != 2 {
			t.Errorf("%s: %d and %d", name, a, b)
		}
		for range 3 {
			if v := c.Intn(1 << 30); v != 0 {
				t.Errorf("%s: beyond the end is %d", name, v)
			}
		}
	}
}

func TestBytesReachEveryChoice(t *testing.T) {
	for n, b := range map[int][]byte{256: {255}, 1 << 16: {255, 255}, 1 << 20: {0, 15, 255, 255}} {
		if v := faultfs.FromBytes(b).Intn(n); v != n-1 {
			t.Errorf("the last of %d is %d", n, v)
		}
	}
}

func TestTokenReplaysTheChoices(t *testing.T) {
	for seed := range uint64(200) {
		c := faultfs.Seeded(seed)
		first := take(c)
		again, err := faultfs.Replay(c.Token())
		if err != nil {
			t.Fatal(err)
		}
		if got := take(again); !slices.Equal(got, first) {
			t.Fatalf("token %s replays as %v, want %v", c.Token(), got, first)
		}
		if again.Token() != c.Token() {
			t.Fatalf("token %s became %s", c.Token(), again.Token())
		}
	}
}

func TestTokenText(t *testing.T) {
	for want, choices := range map[string][]int{
		"0":        {},
		"3":        {3, 0, 0},
		"3.0x12.1": append(append([]int{3}, make([]int, 12)...), 1, 0),
		"0.1":      {0, 1},
		"2x2.1x3":  {2, 2, 1, 1, 1},
	} {
		if got := faultfs.Token(choices); got != want {
			t.Errorf("token of %v is %s, want %s", choices, got, want)
		}
	}
}

func TestHostileTokensAreRefused(t *testing.T) {
	for _, token := range []string{
		"", ".", "1.", ".1", "x", "1x", "x1", "1x0", "-1", "+1", "1.-2", "a", "1 2", " 1", "0x1x1", "1_0",
		"9999999999999999999999", "1x9999999999999999999999", "0x2147483647", "0x1048577", "0x1048576.1",
		strings.Repeat("0x1000000.", 100) + "1", strings.Repeat("7", 1<<20), "\xff", "١",
	} {
		choices, err := faultfs.ParseToken(token)
		if !errors.Is(err, faultfs.ErrToken) || choices != nil {
			t.Errorf("%.20q: %d choices, error %.100v", token, len(choices), err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%.20q: the error has %d bytes", token, len(err.Error()))
		}
		if c, err := faultfs.Replay(token); !errors.Is(err, faultfs.ErrToken) || c != nil {
			t.Errorf("%.20q is replayed, error %.100v", token, err)
		}
	}
	if choices, err := faultfs.ParseToken("5x1048576"); err != nil || len(choices) != 1<<20 {
		t.Errorf("the longest token: %d choices, %v", len(choices), err)
	}
}

func FuzzToken(f *testing.F) {
	for _, token := range []string{"0", "3.0x12.1", "1x1048577", "0x", "1.2.3"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		choices, err := faultfs.ParseToken(token)
		if err != nil {
			if !errors.Is(err, faultfs.ErrToken) {
				t.Fatal(err)
			}
			return
		}
		if len(choices) > 1<<20 {
			t.Fatalf("%d choices", len(choices))
		}
		short := faultfs.Token(choices)
		again, err := faultfs.ParseToken(short)
		if err != nil || faultfs.Token(again) != short {
			t.Fatalf("%s: %v, %v", short, again, err)
		}
		for i, v := range choices {
			if v < 0 || i < len(again) && again[i] != v || i >= len(again) && v != 0 {
				t.Fatalf("choice %d of %s is %d", i, short, v)
			}
		}
	})
}

// Every tree of up to three levels is walked: each leaf once, in order, the zeros first.
func TestAllChoicesVisitsEachLeafOnce(t *testing.T) {
	// A decision depends on those before it: how many there are, and among how many.
	trees := map[string]func(c *faultfs.Choices) []int{
		"no choice":  func(c *faultfs.Choices) []int { return nil },
		"among one":  func(c *faultfs.Choices) []int { return []int{c.Intn(1), c.Intn(0)} },
		"one":        func(c *faultfs.Choices) []int { return []int{c.Intn(4)} },
		"three":      func(c *faultfs.Choices) []int { return []int{c.Intn(2), c.Intn(3), c.Intn(2)} },
		"narrowing":  func(c *faultfs.Choices) []int { a := c.Intn(4); return []int{a, c.Intn(a)} },
		"asks more":  func(c *faultfs.Choices) (v []int) { return chain(c, 3) },
		"asks fewer": func(c *faultfs.Choices) (v []int) { return until(c, 5) },
	}
	want := map[string]int{"no choice": 1, "among one": 1, "one": 4, "three": 12, "narrowing": 1 + 1 + 2 + 3, "asks more": 8, "asks fewer": 6}
	for name, tree := range trees {
		seen := map[string]bool{}
		var last []int
		for c := range faultfs.AllChoices() {
			leaf := tree(c)
			at := fmt.Sprint(leaf)
			if seen[at] {
				t.Errorf("%s: %s twice", name, at)
			}
			if len(seen) == 0 && slices.Max(append(leaf, 0)) != 0 {
				t.Errorf("%s: %s is first", name, at)
			}
			if len(seen) > 0 && slices.Compare(last, c.Taken()) >= 0 {
				t.Errorf("%s: %v comes after %v", name, c.Taken(), last)
			}
			seen[at], last = true, c.Taken()
			if again, err := faultfs.Replay(c.Token()); err != nil || !slices.Equal(tree(again), leaf) {
				t.Errorf("%s: the token of %s does not replay: %v", name, at, err)
			}
		}
		if len(seen) != want[name] {
			t.Errorf("%s: %d leaves, want %d", name, len(seen), want[name])
		}
	}
}

// chain asks among two, depth times.
func chain(c *faultfs.Choices, depth int) (v []int) {
	for range depth {
		v = append(v, c.Intn(2))
	}
	return v
}

// until asks until the answer is 1, which leaves out what would be asked after it.
func until(c *faultfs.Choices, depth int) (v []int) {
	for range depth {
		if v = append(v, c.Intn(2)); v[len(v)-1] == 1 {
			break
		}
	}
	return v
}

func TestAllChoicesCanBeLeft(t *testing.T) {
	n := 0
	for c := range faultfs.AllChoices() {
		c.Intn(1 << 30)
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d", n)
	}
}
