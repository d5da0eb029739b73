package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag's value: a number of bytes, such as 1048576, 64KiB, 1MiB or 1GiB.
type byteSize int64

var units = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

// Set reads the text form.
func (b *byteSize) Set(text string) error {
	for _, u := range units {
		digits, found := strings.CutSuffix(text, u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 1 || n > math.MaxInt64/u.bytes {
			break
		}
		*b = byteSize(n * u.bytes)
		return nil
	}
	return errors.New("want a size such as 65536, 64KiB or 1MiB")
}

// String is the shortest text form.
func (b *byteSize) String() string { return sizeText(int64(*b)) }

// Type is what help calls it.
func (b *byteSize) Type() string { return "size" }

func sizeText(n int64) string {
	text := strconv.FormatInt(n, 10)
	for _, u := range units[:3] {
		if n >= u.bytes && n%u.bytes == 0 {
			text = strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return text
}
