package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Ratio sets one figure against another, or is a figure that has a bound by itself.
type Ratio struct {
	What  string
	Value float64

	// AtLeast and AtMost are what Value should keep within; zero is no bound.
	AtLeast, AtMost float64
}

// Kept says whether the value is within its bounds. A value that is not a number
// is not, when there is a bound.
func (r Ratio) Kept() bool {
	return (r.AtLeast == 0 || r.Value >= r.AtLeast) && (r.AtMost == 0 || r.Value <= r.AtMost)
}

func (r Ratio) bound() string {
	switch {
	case r.AtLeast != 0 && r.AtMost != 0:
		return fmt.Sprintf("%.2f to %.2f", r.AtLeast, r.AtMost)
	case r.AtLeast != 0:
		return fmt.Sprintf("at least %.2f", r.AtLeast)
	case r.AtMost != 0:
		return fmt.Sprintf("at most %.2f", r.AtMost)
	}
	return ""
}

// Print writes rows as a table with aligned columns, the first error of each row
// that has one, and the ratios with their bounds.
func Print(w io.Writer, rows []Row, ratios []Ratio) error {
	out := [][]string{{"name", "in flight", "ops/s", "p50 µs", "p99 µs", "allocs/op", "B/op", "errors"}}
	for _, r := range rows {
		out = append(out, []string{
			r.Name, strconv.Itoa(r.Inflight), decimals(r.OpsPerS, 0), decimals(r.P50us, 1), decimals(r.P99us, 1),
			decimals(r.AllocsPerOp, 1), decimals(r.BytesPerOp, 0), strconv.FormatUint(r.Errors, 10),
		})
	}
	text := table("<>>>>>>>", out)
	for _, r := range rows {
		if r.Err != nil {
			text += fmt.Sprintf("%s, %d in flight: first error: %v\n", r.Name, r.Inflight, r.Err)
		}
	}
	if len(ratios) > 0 {
		out = [][]string{{"ratio", "is", "should be", ""}}
		for _, r := range ratios {
			missed := ""
			if !r.Kept() {
				missed = "MISSED"
			}
			out = append(out, []string{r.What, decimals(r.Value, 2), r.bound(), missed})
		}
		text += "\n" + table("<><<", out)
	}
	_, err := io.WriteString(w, text)
	return err
}

func decimals(x float64, n int) string { return strconv.FormatFloat(x, 'f', n, 64) }

// table lays out lines of cells, each column as wide as its widest cell and
// aligned as its character in align says: '<' left, '>' right.
func table(align string, lines [][]string) string {
	widths := make([]int, len(align))
	for _, line := range lines {
		for c, cell := range line {
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, line := range lines {
		var b strings.Builder
		for c, cell := range line {
			pad := strings.Repeat(" ", widths[c]-utf8.RuneCountInString(cell))
			if align[c] == '>' {
				cell = pad + cell
			} else {
				cell += pad
			}
			b.WriteString(cell + "  ")
		}
		text.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
	return text.String()
}
