package bench

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
)

// Dimensions of the picture, in pixels.
const (
	pictureWidth = 900
	panelHeight  = 130
	panelLeft    = 80
	panelRight   = 20
	titleHeight  = 46
	panelGap     = 40 // space for the time axis of a panel and the legend of the next
)

// curve is one line of a panel.
type curve struct {
	name, color string
	of          func(Point) float64
}

// WriteSVG draws every measurement's rate and latency over time.
func (r *Result) WriteSVG(w io.Writer) error {
	var b bytes.Buffer
	rowHeight := titleHeight + 2*(panelHeight+panelGap)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		pictureWidth, rowHeight*len(r.Measurements)+10)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="white"/>`)
	for i := range r.Measurements {
		m := &r.Measurements[i]
		top := i * rowHeight
		title := fmt.Sprintf("%s, %d connections, %s, run %d: %s requests/s, p50 %s, p99 %s", m.Name, m.Connections, m.loopTitle(), m.Run,
			thousands(m.RequestsPerSecond), duration(m.Latency.P50), duration(m.Latency.P99))
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", panelLeft, top+20, html.EscapeString(title))
		drawPanel(&b, m, top+titleHeight, false, []curve{
			{"requests/s", "#1f6feb", func(p Point) float64 { return p.Rate }},
		})
		drawPanel(&b, m, top+titleHeight+panelHeight+panelGap, true, []curve{
			{"p50", "#2da44e", func(p Point) float64 { return p.P50 }},
			{"p99", "#bf8700", func(p Point) float64 { return p.P99 }},
			{"max", "#cf222e", func(p Point) float64 { return p.Max }},
		})
	}
	fmt.Fprintln(&b, "</svg>")
	_, err := b.WriteTo(w)
	return err
}

func (m *Measurement) loopTitle() string {
	if m.OpenRate > 0 {
		return "open loop at " + ratePerSecond(m.OpenRate) + "/s"
	}
	return "closed loop"
}

// scale maps values to a panel's height, 0 to 1, and has the marks of its axis.
type scale struct {
	at    func(float64) float64
	marks []float64
	text  func(float64) string
}

// linear is a scale from zero, for rates.
func linear(points []Point, curves []curve) scale {
	high := 1.0
	for _, p := range points {
		for _, c := range curves {
			high = max(high, c.of(p))
		}
	}
	step := niceStep(high / 4)
	high = step * math.Ceil(high/step)
	s := scale{at: func(v float64) float64 { return v / high }, text: thousands}
	for v := 0.0; v <= high*1.001; v += step {
		s.marks = append(s.marks, v)
	}
	return s
}

// logarithmic is a scale for latencies, which span decades.
func logarithmic(points []Point) scale {
	low, high := decades(points)
	s := scale{text: wholeDuration, at: func(v float64) float64 {
		return (math.Log10(max(v, low)) - math.Log10(low)) / (math.Log10(high) - math.Log10(low))
	}}
	for v := low; v <= high*1.001; v *= 10 {
		s.marks = append(s.marks, v)
	}
	return s
}

// niceStep is the smallest of 1, 2 or 5 times a power of ten that is at least
// v.
func niceStep(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if n*unit >= v*0.999 {
			return n * unit
		}
	}
	return 10 * unit
}

// wholeDuration writes a power of ten of microseconds.
func wholeDuration(us float64) string {
	switch {
	case us < 999:
		return fmt.Sprintf("%.0f µs", us)
	case us < 999e3:
		return fmt.Sprintf("%.0f ms", us/1e3)
	}
	return fmt.Sprintf("%.0f s", us/1e6)
}

// drawPanel draws curves over time.
func drawPanel(b *bytes.Buffer, m *Measurement, top int, latency bool, curves []curve) {
	sc := linear(m.Series, curves)
	if latency {
		sc = logarithmic(m.Series)
	}
	width := float64(pictureWidth - panelLeft - panelRight)
	x := func(seconds float64) float64 { return float64(panelLeft) + width*min(1, seconds/m.Seconds) }
	y := func(v float64) float64 { return float64(top) + panelHeight*(1-sc.at(v)) }
	for _, v := range sc.marks {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#666">%s</text>`+"\n",
			panelLeft, pictureWidth-panelRight, y(v), y(v), panelLeft-6, y(v)+4, sc.text(v))
	}
	if m.Seconds > 0 {
		step := niceStep(m.Seconds / 10)
		for t := 0.0; t <= m.Seconds*1.001; t += step {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#666">%.4g s</text>`+"\n", x(t), top+panelHeight+14, t)
		}
	}
	for i, c := range curves {
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", panelLeft+6+90*i, top-5, c.color, c.name)
		fmt.Fprintf(b, `<path fill="none" stroke="%s" stroke-width="1.5" stroke-linecap="round" d="`, c.color)
		gap := true
		for _, p := range m.Series {
			if latency && p.Max == 0 { // nothing was answered: a gap, because a stall must not look fast
				gap = true
				continue
			}
			if gap {
				fmt.Fprintf(b, "M%.1f,%.1f h0 ", x(p.Seconds), y(c.of(p))) // a point, in case no other follows
			}
			fmt.Fprintf(b, "L%.1f,%.1f ", x(p.Seconds), y(c.of(p)))
			gap = false
		}
		fmt.Fprintln(b, `"/>`)
	}
}

// decades are powers of ten around all latencies.
func decades(points []Point) (low, high float64) {
	low, high = math.Inf(1), 1
	for _, p := range points {
		if p.P50 > 0 {
			low = min(low, p.P50)
		}
		high = max(high, p.Max)
	}
	if math.IsInf(low, 1) {
		low = 1
	}
	low = math.Pow(10, math.Floor(math.Log10(low)))
	high = math.Pow(10, math.Ceil(math.Log10(high)))
	return low, max(high, low*10)
}
