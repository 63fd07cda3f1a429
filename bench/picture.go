package bench

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
)

// Measures of the picture, in pixels.
const (
	pictureWidth = 900
	panelHeight  = 130
	panelLeft    = 80
	panelRight   = 20
	titleHeight  = 34
	panelGap     = 26
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
		title := fmt.Sprintf("%s, %d connections, %s loop, run %d: %s requests/s, p50 %s, p99 %s", m.Name, m.Connections, m.loop(), m.Run,
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

// drawPanel draws curves over time: from zero, or, of latencies, on a scale
// of decades.
func drawPanel(b *bytes.Buffer, m *Measurement, top int, latency bool, curves []curve) {
	low, high := 0.0, 1.0
	for _, p := range m.Series {
		for _, c := range curves {
			high = max(high, c.of(p))
		}
	}
	text := thousands
	scale := func(v float64) float64 { return (v - low) / (high - low) }
	marks := []float64{0, high / 2, high}
	if latency {
		text = duration
		low, high = decades(m.Series)
		scale = func(v float64) float64 {
			return (math.Log10(max(v, low)) - math.Log10(low)) / (math.Log10(high) - math.Log10(low))
		}
		marks = nil
		for v := low; v <= high*1.001; v *= 10 {
			marks = append(marks, v)
		}
	}
	width := float64(pictureWidth - panelLeft - panelRight)
	y := func(v float64) float64 { return float64(top) + panelHeight*(1-scale(v)) }
	for _, v := range marks {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#666">%s</text>`+"\n",
			panelLeft, pictureWidth-panelRight, y(v), y(v), panelLeft-6, y(v)+4, text(v))
	}
	for i, c := range curves {
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", panelLeft+6+90*i, top+12, c.color, c.name)
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="`, c.color)
		for _, p := range m.Series {
			fmt.Fprintf(b, "%.1f,%.1f ", float64(panelLeft)+width*min(1, p.Seconds/m.Seconds), y(c.of(p)))
		}
		fmt.Fprintln(b, `"/>`)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="#666">%.0f s</text>`+"\n",
		pictureWidth-panelRight, top+panelHeight+14, m.Seconds)
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
