package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// page is the console in a tab of Chromium. Its methods fail the test on any
// surprise, and so does whatever the page complains of.
type page struct {
	t    *testing.T
	base string // http://host:port of what serves it
	ctx  context.Context
}

// Helpers in the page: they find things as people do, by what is written on them.
const pageHelpers = `
window.seen = (window.seen || []);
window.visible = e => !!(e && e.getClientRects().length);
window.front = () => document.querySelector("dialog[open]") ?? document;
window.named = (tag, text) => [...front().querySelectorAll(tag)].filter(visible).find(e => {
  const label = e.getAttribute("aria-label"); return (label ?? e.textContent).trim() === text || (label && e.textContent.trim() === text); });
window.fieldOf = text => { const l = [...front().querySelectorAll("label")].filter(visible).find(l => l.textContent.trim() === text);
  return l && document.getElementById(l.htmlFor); };
window.put = (field, value) => {
  const proto = {INPUT: HTMLInputElement, TEXTAREA: HTMLTextAreaElement, SELECT: HTMLSelectElement}[field.tagName].prototype;
  Object.getOwnPropertyDescriptor(proto, "value").set.call(field, value);
  field.dispatchEvent(new Event("input", {bubbles: true})); field.dispatchEvent(new Event("change", {bubbles: true})); return true; };
true`

// openConsole opens the console of a server.
func (s *server) openConsole(ctx context.Context) *page {
	s.t.Helper()
	return openConsole(s.t, ctx, s.base)
}

// openConsole opens the console at an address.
func openConsole(t *testing.T, ctx context.Context, base string) *page {
	t.Helper()
	tab, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	tab, cancel := context.WithTimeout(tab, 15*time.Minute)
	t.Cleanup(cancel)
	p := &page{t: t, base: base, ctx: tab}
	require.NoError(t, chromedp.Do(tab, chromedp.EmulateViewport(1280, 860)))
	var complaints sync.Map
	go func() {
		for m, err := range chromedp.Console(tab) {
			if err != nil {
				return
			}
			if text := fmt.Sprintf("%+v", m); strings.Contains(text, "rror") {
				complaints.Store(text, true)
			}
		}
	}()
	t.Cleanup(func() {
		complaints.Range(func(text, _ any) bool {
			// A browser writes each answer above 399 to its console, asked for or not.
			assert.Contains(t, text, "Failed to load resource", "the page complains")
			return true
		})
	})
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(base+"/console/")))
	eval[bool](p, pageHelpers)
	return p
}

// eval is the value of an expression in the page.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err, expression)
	return v
}

// until waits until an expression is true in the page.
func (p *page) until(what, expression string) {
	p.t.Helper()
	deadline := time.After(waitTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// A page that is being left or loaded has nothing to look at for a moment.
		if ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+expression+")", chromedp.EvalAwaitPromise)); err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(p.t, "in vain waited until "+what, "%s\nthe page shows: %.900q", expression, eval[string](p, "document.body.innerText"))
		}
	}
}

// quote is a string of JavaScript.
func quote(s string) string {
	text, _ := json.Marshal(s) // a string always can be
	return string(text)
}

// shows waits until the page shows a text.
func (p *page) shows(text string) {
	p.t.Helper()
	p.until("the page shows "+text, "document.body.innerText.includes("+quote(text)+")")
}

// visit opens a page of the console and waits for its heading.
func (p *page) visit(path, heading string) {
	p.t.Helper()
	eval[bool](p, "(location.hash = "+quote("#/"+path)+", true)")
	p.until("the heading is "+heading, "document.querySelector('h1')?.innerText.includes("+quote(heading)+")")
}

// click clicks on the button or link with that text, once it can be.
func (p *page) click(text string) {
	p.t.Helper()
	find := "(named('button', " + quote(text) + ") ?? named('a', " + quote(text) + "))"
	p.until("there is a button "+text, find+" && !"+find+".disabled")
	eval[bool](p, "("+find+".click(), true)")
}

// fill types into the field with that label, or chooses there.
func (p *page) fill(label, value string) {
	p.t.Helper()
	p.until("there is a field "+label, "fieldOf("+quote(label)+")")
	eval[bool](p, "put(fieldOf("+quote(label)+"), "+quote(value)+")")
}

// disabled waits until a button cannot be clicked.
func (p *page) disabled(text string) {
	p.t.Helper()
	p.until(text+" is disabled", "named('button', "+quote(text)+")?.disabled")
}

// curl is the command line that the page, or its dialog, shows, without the server.
func (p *page) curl() string {
	p.t.Helper()
	lines := eval[[]string](p, "[...front().querySelectorAll('.curl code')].filter(visible).map(e => e.innerText)")
	require.NotEmpty(p.t, lines)
	return strings.ReplaceAll(lines[len(lines)-1], p.base, "")
}

// curlIs waits until the page shows a command line, written without the server.
func (p *page) curlIs(line string) {
	p.t.Helper()
	line = strings.Replace(line, "'/", "'"+p.base+"/", 1)
	p.until("the command line is "+line, "[...front().querySelectorAll('.curl code')].some(e => e.innerText === "+quote(line)+")")
}

// look gives the page light or dark colours.
func (p *page) look(theme string) {
	p.t.Helper()
	eval[bool](p, "(document.documentElement.dataset.theme === '"+theme+"' || document.querySelector('[aria-label=\"Use "+theme+" colours\"]').click(), true)")
	p.until("it is "+theme, "document.documentElement.dataset.theme === '"+theme+"'")
}

// keys types keys into what has the focus.
func (p *page) keys(keys string) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.KeyEvent(keys)))
}
