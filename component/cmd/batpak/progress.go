package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// newProgress is a bar on standard error, when that is a terminal, of a number of things to be
// done; -1 is not known.
func (a *app) newProgress(total int64, what, thing string) *progressbar.ProgressBar {
	w := io.Discard
	_, visible := terminal(a.err)
	if visible {
		w = a.err
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetItsString(thing),
		progressbar.OptionShowIts(),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(24),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionEnableColorCodes(a.colourful()),
	)
	_ = bar.RenderBlank() // its clock starts here; a terminal that cannot be written to shows nothing
	return bar
}

// rate is how many there were in a second, for people.
func rate(n uint64, took time.Duration) string {
	if took <= 0 {
		took = time.Nanosecond
	}
	return grouped(uint64(float64(n)/took.Seconds())) + "/s"
}

// brief is a duration for people.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}
