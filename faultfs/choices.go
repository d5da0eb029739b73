package faultfs

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Choices is where every decision of a simulated disk comes from, and of whatever
// drives it: one program runs at random ([Seeded]), through all that can be
// ([AllChoices]), under a fuzzer ([FromBytes]) or once more ([Replay]).
//
// Choice 0 means that nothing bad happens: no fault, everything kept. So what is
// asked for beyond the end of a source is 0, and a failure becomes simpler by
// making its choices smaller or fewer. A Choices is for one goroutine at a time.
type Choices struct {
	next  func(n int) int // in [0, n), for n of at least 2
	taken []int
}

// Seeded draws each choice at random. The same seed gives the same choices, on
// every machine.
func Seeded(seed uint64) *Choices {
	r := rand.New(rand.NewPCG(seed, 0x6661756c746673))
	return &Choices{next: r.IntN}
}

// FromBytes takes the choices from the bytes of a fuzzer: one byte for a choice
// among up to 256, two among up to 65536, four among more.
func FromBytes(b []byte) *Choices {
	return &Choices{next: func(n int) int {
		size := 1
		switch {
		case n > 1<<16:
			size = 4
		case n > 1<<8:
			size = 2
		}
		var v uint64
		for ; size > 0 && len(b) > 0; size-- {
			v = v<<8 | uint64(b[0])
			b = b[1:]
		}
		return int(v % uint64(n))
	}}
}

// Given makes these choices, and then 0. One that is out of range is taken
// modulo the range.
func Given(choices ...int) *Choices {
	return &Choices{next: func(n int) int {
		if len(choices) == 0 {
			return 0
		}
		v := choices[0]
		choices = choices[1:]
		if v %= n; v < 0 {
			v += n
		}
		return v
	}}
}

// ErrToken is found in the error of [Replay] and [ParseToken].
var ErrToken = errors.New("not a token of choices")

// maxToken bounds what a token unfolds to, in choices.
const maxToken = 1 << 20

// Replay makes the choices of a [Choices.Token] again.
func Replay(token string) (*Choices, error) {
	choices, err := ParseToken(token)
	if err != nil {
		return nil, err
	}
	return Given(choices...), nil
}

// ParseToken is the choices of a [Choices.Token]. The error matches ErrToken.
func ParseToken(token string) ([]int, error) {
	var choices []int
	for part := range strings.SplitSeq(token, ".") {
		value, repeat, found := strings.Cut(part, "x")
		v, err := strconv.ParseUint(value, 10, strconv.IntSize-1)
		times := uint64(1)
		if err == nil && found {
			times, err = strconv.ParseUint(repeat, 10, 31)
		}
		if err != nil || times == 0 || uint64(len(choices))+times > maxToken {
			return nil, fmt.Errorf("faultfs: %w: %.80q", ErrToken, token)
		}
		for range times {
			choices = append(choices, int(v))
		}
	}
	return choices, nil
}

// Intn is a choice among n, from 0. For n of at most 1 it is 0 and takes nothing
// from the source.
func (c *Choices) Intn(n int) int {
	if n <= 1 {
		return 0
	}
	v := c.next(n)
	c.taken = append(c.taken, v)
	return v
}

// Taken is a copy of the choices made so far.
func (c *Choices) Taken() []int { return append([]int(nil), c.taken...) }

// Token is the choices made so far as text that [Replay] takes, such as
// "3.0x12.1": 3, twelve times 0, and 1. Zeros at the end are left out, since
// they are what follows anyway.
func (c *Choices) Token() string { return Token(c.taken) }

// Token is the token of these choices.
func Token(choices []int) string {
	for len(choices) > 0 && choices[len(choices)-1] == 0 {
		choices = choices[:len(choices)-1]
	}
	if len(choices) == 0 {
		return "0"
	}
	var b strings.Builder
	for i := 0; i < len(choices); {
		run := 1
		for i+run < len(choices) && choices[i+run] == choices[i] {
			run++
		}
		if i > 0 {
			b.WriteByte('.')
		}
		fmt.Fprintf(&b, "%d", choices[i])
		if run > 1 {
			fmt.Fprintf(&b, "x%d", run)
		}
		i += run
	}
	return b.String()
}

// AllChoices is every sequence of choices that a program can ask for, depth
// first, the one of zeros first. The program takes its choices from the element
// before it asks for the next, and asks for the same things as long as it is
// given the same answers.
func AllChoices() iter.Seq[*Choices] {
	return func(yield func(*Choices) bool) {
		var path, ranges []int
		for {
			at := 0
			c := &Choices{next: func(n int) int {
				if at == len(path) {
					path, ranges = append(path, 0), append(ranges, n)
				}
				ranges[at] = n
				at++
				return path[at-1]
			}}
			if !yield(c) {
				return
			}
			path, ranges = path[:at], ranges[:at]
			for len(path) > 0 && path[len(path)-1]+1 >= ranges[len(path)-1] {
				path, ranges = path[:len(path)-1], ranges[:len(path)-1]
			}
			if len(path) == 0 {
				return
			}
			path[len(path)-1]++
		}
	}
}
