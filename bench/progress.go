package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// progress is a line on a terminal that is overwritten.
type progress struct {
	out   io.Writer // nil: none
	width int
}

func (p *progress) show(s *session, name string, pt Point) {
	total := s.Duration.Round(time.Millisecond)
	p.line(fmt.Sprintf("%-16s %4d connections  %5.1fs of %s  %10s/s  p50 %s  p99 %s",
		name, s.connections, pt.Seconds, total, thousands(pt.Rate), duration(pt.P50), duration(pt.P99)))
}

// line replaces the line; empty: removes it.
func (p *progress) line(text string) {
	if p == nil || p.out == nil {
		return
	}
	fmt.Fprintf(p.out, "\r%s%s\r%s", text, strings.Repeat(" ", max(0, p.width-len(text))), text)
	p.width = len(text)
	if text == "" {
		p.width = 0
	}
}

// thousands groups digits: 12,345.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ratePerSecond shows small rates with decimals: 0.5 is not 0.
func ratePerSecond(v float64) string {
	if v < 100 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return thousands(v)
}

// duration formats microseconds for people.
func duration(us float64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%.0fµs", us)
	case us < 1e6:
		return fmt.Sprintf("%.2fms", us/1e3)
	}
	return fmt.Sprintf("%.2fs", us/1e6)
}
