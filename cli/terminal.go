package cli

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fancy reports whether standard error is a terminal that understands control
// sequences.
func (p *process) fancy() bool { return p.terminal && p.env("TERM") != "dumb" }

// env is an environment variable, empty if it is not set.
func (p *process) env(name string) string {
	if p.lookupEnv == nil {
		return ""
	}
	v, _ := p.lookupEnv(name)
	return v
}

// Colours, as SGR parameters (ECMA-48).
const (
	red    = 31
	yellow = 33
)

// prefix is the beginning of a message on standard error, red for errors and
// yellow for warnings. It has colours on a terminal only, and not if NO_COLOR is
// set to anything (no-color.org). Standard output never has colours.
func (p *process) prefix(colour int) string {
	if !p.fancy() || p.env("NO_COLOR") != "" {
		return "ottla:"
	}
	return fmt.Sprintf("\x1b[1;%dmottla:\x1b[0m", colour)
}

// say prints a message on standard error.
func (p *process) say(colour int, text string) {
	fmt.Fprint(p.raw(), p.prefix(colour))
	fmt.Fprintf(p.stderr, " %s\n", text)
}

// raw is standard error for what the process itself has made of control sequences.
func (p *process) raw() io.Writer {
	if p.control != nil {
		return p.control
	}
	return p.stderr
}

// agrees asks a question at the terminal, and reports whether the answer is one of those.
// A signal is none of them.
func (p *process) agrees(question string, answers ...string) bool {
	defer p.heeds()()
	fmt.Fprint(p.stderr, question, " ")
	given := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(p.stdin).ReadString('\n')
		given <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-given:
		return slices.Contains(answers, answer)
	case <-p.signals:
		fmt.Fprintln(p.stderr)
		return false
	}
}

// count is a number of things: 1 record, 2 records.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// progress shows the progress of a command on a terminal. Elsewhere only its notes
// appear.
type progress struct {
	p       *process
	unit    string
	total   int64 // bytes; 0: not known
	started time.Time

	mu      sync.Mutex
	skipped int64 // bytes at the beginning that took no time
	shown   time.Time
	open    bool // the terminal shows a line without its end
}

func newProgress(p *process, unit string, total int64) *progress {
	return &progress{p: p, unit: unit, total: total, started: time.Now()}
}

// update shows the progress, at most five times per second.
func (g *progress) update(done int, bytes int64) {
	if !g.p.fancy() {
		return
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.shown) < 200*time.Millisecond {
		return
	}
	g.shown, g.open = now, true
	took := now.Sub(g.started)
	rate := float64(done) / max(took.Seconds(), 0.001)
	text := fmt.Sprintf("%d %s, %.0f/s", done, g.unit, rate)
	if g.total > 0 {
		part := min(float64(bytes)/float64(g.total), 1)
		const width = 30
		full := int(part * width)
		text = fmt.Sprintf("[%-*s] %3.0f%%  %s", width, bar[:full], part*100, text)
		if passed := bytes - g.skipped; took > time.Second && passed > 0 && bytes < g.total {
			left := time.Duration(float64(took) * float64(g.total-bytes) / float64(passed))
			text += ", " + left.Round(time.Second).String() + " left"
		}
	}
	fmt.Fprint(g.p.raw(), "\r\x1b[K")
	fmt.Fprint(g.p.stderr, text)
}

const bar = "##############################"

// skip notes how many bytes were passed over at the beginning.
func (g *progress) skip(bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.skipped = bytes
}

// note prints a line of its own.
func (g *progress) note(text string) {
	g.end()
	g.p.say(yellow, text)
}

// end removes the line.
func (g *progress) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		g.open = false
		fmt.Fprint(g.p.raw(), "\r\x1b[K")
	}
}
