package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// guard stands before a server as one does that asks for tokens and runs on several
// machines: it answers /tokens, /nodes and /tasks as the contract has them, and hands
// on the rest.
type guard struct {
	mu     sync.Mutex
	tokens map[string]map[string]any // by name
	asked  []string                  // by whoever may change something
}

func (g *guard) refuse(w http.ResponseWriter, status, number int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object{
		"error_code": number, "code": code, "message": message, "retriable": false, "outcome": "none", "request_id": "guard-1",
	})
}

func (g *guard) answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// before starts the guard before a server, and returns its address.
func (g *guard) before(t *testing.T, s *server) string {
	to, err := url.Parse(s.base)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		who := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case strings.HasPrefix(r.URL.Path, "/console/"):
		case who != "reader" && who != "admin":
			g.refuse(w, http.StatusUnauthorized, 40101, "unauthorized", "a token is needed")
			return
		case who == "reader" && (r.Method != http.MethodGet || r.URL.Path == "/tokens"):
			g.refuse(w, http.StatusForbidden, 40302, "forbidden", "the token may not do that: "+r.Method+" "+r.URL.Path)
			return
		case r.URL.Path == "/nodes":
			g.answer(w, object{"nodes": []object{
				{"id": 1, "name": "a", "http": "10.0.0.1:8080", "rack": "r1", "version": "v1", "state": "active", "brokers": []object{{"cluster": "default", "id": 1}}, "leaders": 5, "replicas": 9},
				{"id": 2, "name": "b", "http": "10.0.0.2:8080", "rack": "r2", "version": "v1", "state": "draining", "brokers": []object{}, "leaders": 0, "replicas": 9},
			}})
			return
		case r.URL.Path == "/tasks":
			g.answer(w, object{"tasks": []object{{"id": "t-7", "kind": "decommission", "state": "running", "moved": 3, "left": 9, "waiting_for": "orders 2", "started_at": "2026-11-22T17:16:03Z"}}})
			return
		case strings.HasPrefix(r.URL.Path, "/nodes/"):
			g.asked = append(g.asked, r.Method+" "+r.URL.Path)
			w.WriteHeader(http.StatusAccepted)
			g.answer(w, object{"id": "t-8"})
			return
		case strings.HasPrefix(r.URL.Path, "/tokens"):
			g.serveTokens(w, r)
			return
		}
		g.mu.Unlock() // a stream must not keep others out
		defer g.mu.Lock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func (g *guard) serveTokens(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/tokens"), "/")
	switch r.Method {
	case http.MethodPost:
		var token map[string]any
		_ = json.NewDecoder(r.Body).Decode(&token)
		g.tokens[token["name"].(string)] = token
		w.WriteHeader(http.StatusCreated)
		g.answer(w, object{"name": token["name"], "token": "secret-of-" + fmt.Sprint(token["name"])})
	case http.MethodDelete:
		delete(g.tokens, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		list := []any{}
		for _, token := range g.tokens {
			list = append(list, token)
		}
		g.answer(w, object{"tokens": list})
	}
}

// Where tokens are asked for, the page asks for one, keeps it for its tab only, shows
// it nowhere, and says what it does not allow.
func TestConsoleSignsIn(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s := start(t)
	s.topic("orders", 1)
	g := &guard{tokens: map[string]map[string]any{}}
	p := openConsole(t, ctx, g.before(t, s))
	p.shows("This server wants a token")
	assert.NotContains(t, eval[string](p, "document.body.innerText"), "Topics")
	p.fill("Token", "wrong")
	p.click("Sign in")
	p.shows("The server does not know this token")
	p.fill("Token", "reader")
	p.click("Sign in")
	p.shows("All is well")
	p.curlIs(`curl -s -H "Authorization: Bearer $OTTLA_TOKEN" '/overview'`)
	assert.False(t, eval[bool](p, "!!named('a', 'Tokens')"), "this one may not see them")

	t.Log("a token without rights")
	p.visit("topic/default/orders/produce", "orders")
	p.fill("Value", "1")
	p.click("Write")
	p.shows("The token may not do that: POST /events")
	p.shows("forbidden, request guard-1")
	p.visit("topic/default/orders/live", "orders")
	p.until("the live tail sends the token", "document.querySelector('.tail-state')?.innerText.startsWith('live')")
	s.produce("orders", object{"value": "seen"})
	p.shows(`"seen"`)

	t.Log("it is kept for this tab only")
	eval[bool](p, "(location.reload(), true)")
	p.until("it is still signed in", "document.querySelector('h1')?.innerText.includes('orders')")
	eval[bool](p, pageHelpers)
	assert.Empty(t, eval[string](p, "localStorage.getItem('ottla-token') ?? ''"))
	assert.NotContains(t, eval[string](p, "document.documentElement.outerHTML + document.cookie"), "reader")
	other := openConsole(t, ctx, p.base)
	other.shows("This server wants a token")

	p.click("Sign out")
	p.shows("This server wants a token")
	assert.Empty(t, eval[string](p, "sessionStorage.getItem('ottla-token') ?? ''"))
	p.fill("Token", "admin")
	p.click("Sign in")
	p.tokens(g)
}

// tokens makes and deletes a token.
func (p *page) tokens(g *guard) {
	p.t.Helper()
	p.click("Tokens")
	p.shows("There are no tokens besides the first")
	p.click("Create token")
	p.fill("Name", "mailer")
	p.fill("It may", "both")
	p.fill("Topics", "mail.*")
	p.curlIs(`curl -s -H "Authorization: Bearer $OTTLA_TOKEN" '/tokens' -d '{"name":"mailer","allow":[{"do":["read","write"],"topics":"mail.*"}]}'`)
	p.click("Create")
	p.shows("secret-of-mailer")
	p.shows("read, write on topics mail.*")
	p.click("Done")
	p.until("it is not shown again", "!document.body.innerText.includes('secret-of')")
	p.click("Delete token mailer")
	p.fill("Type mailer to confirm", "mailer")
	p.click("Delete")
	p.shows("There are no tokens besides the first")
	g.mu.Lock()
	defer g.mu.Unlock()
	assert.Empty(p.t, g.tokens)
}

func TestConsoleShowsNodesAndTasks(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s := start(t)
	g := &guard{tokens: map[string]map[string]any{}}
	p := openConsole(t, ctx, g.before(t, s))
	p.fill("Token", "admin")
	p.click("Sign in")
	p.visit("brokers", "Nodes and brokers")
	p.shows("10.0.0.2:8080")
	p.shows("3 of 12")
	p.shows("orders 2")
	p.click("Drain")
	p.click("Drain")
	p.shows("Drain: done")
	p.click("Resume")
	p.click("Resume")
	p.shows("Resume: done")
	p.click("Decommission")
	p.disabled("Decommission")
	p.fill("Type a to confirm", "a")
	p.click("Decommission")
	p.shows("Decommission: done")
	g.mu.Lock()
	defer g.mu.Unlock()
	assert.Equal(t, []string{"POST /nodes/1/drain", "POST /nodes/2/resume", "POST /nodes/1/decommission"}, g.asked)
}

// contrasts finds text that is hard to read: a contrast below 4.5 to 1, or 3 to 1 where
// it is large, as WCAG 2 has it for AA.
const contrasts = `(() => {
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return c.startsWith("color(") ? [...m.slice(0, 3).map(v => v * 255), m[3] ?? 1] : [...m.slice(0, 3), m[3] ?? 1]; };
	const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
	const ground = e => { const stack = []; for (; e; e = e.parentElement) stack.push(parse(getComputedStyle(e).backgroundColor));
		return stack.reverse().reduce((under, c) => over(c, under), [255, 255, 255, 1]); };
	const light = c => [0, 1, 2].map(i => { const v = c[i] / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const bad = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement, style = getComputedStyle(e);
		if (!walk.currentNode.textContent.trim() || !visible(e) || e.closest(":disabled, option, .skip")) continue;
		const back = ground(e), fore = over(parse(style.color), back), a = light(fore), b = light(back);
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
		if (ratio < (size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5)) bad.push(ratio.toFixed(2) + " " + walk.currentNode.textContent.trim().slice(0, 40));
	}
	return bad; })()`

// nameless finds what a reader of the screen could not name.
const nameless = `[...document.querySelectorAll("button, a, input, select, textarea, dialog, [role=img]")].filter(visible).filter(e =>
	!(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.innerText?.trim() && !/INPUT|SELECT|TEXTAREA/.test(e.tagName) || e.id && document.querySelector('label[for="' + e.id + '"]') || e.closest("label"))).map(e => e.outerHTML.slice(0, 120))`

// Every page can be read in the light and in the dark, fits on a phone, and its
// controls have names.
func TestConsoleIsForEverybody(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s := start(t)
	for i := range 30 {
		s.produce("orders", object{"key": fmt.Sprint("o-", i), "value": object{"total": 12.5, "ok": true, "note": nil, "text": strings.Repeat("long ", 40)}, "headers": object{"a": "b"}})
	}
	s.poll("topic=orders", "group=billing", "consumer_id=7", "auto_commit=true", "max_records=8", "session_timeout_ms=300000")
	s.setBroker(3, "stop", "stopped")
	p := s.openConsole(ctx)
	check := func(name string) {
		t.Helper()
		for _, theme := range []string{"light", "dark"} {
			p.look(theme)
			assert.Empty(t, eval[[]string](p, contrasts), "%s in the %s", name, theme)
		}
		assert.Empty(t, eval[[]string](p, nameless), name)
		require.NoError(t, chromedp.Do(p.ctx, chromedp.EmulateViewport(360, 740)))
		p.until(name+" fits on a phone", "document.documentElement.scrollWidth <= innerWidth && document.querySelector('main').scrollWidth <= innerWidth")
		require.NoError(t, chromedp.Do(p.ctx, chromedp.EmulateViewport(1280, 860)))
	}
	for _, at := range []struct{ path, heading, ready, open string }{
		{"", "Overview", "document.querySelector('.health li')", ""},
		{"topics", "Topics", "document.querySelector('.topics .row:not(.head)')", "Create topic"},
		{"topic/default/orders", "orders", "document.querySelector('tbody tr')", "Alter"},
		{"topic/default/orders", "orders", "document.querySelector('tbody tr')", "Delete"},
		{"topic/default/orders/records", "orders", "document.querySelector('.records .row:not(.head)')", ""},
		{"topic/default/orders/live", "orders", "document.querySelector('.empty')", ""},
		{"topic/default/orders/produce", "orders", "document.querySelector('textarea')", ""},
		{"groups", "Groups", "document.querySelector('tbody tr')", ""},
		{"group/default/billing", "billing", "document.querySelector('tbody tr')", "Seek"},
		{"group/default/none", "none", "document.querySelector('.empty')", ""},
		{"brokers", "Brokers", "document.querySelector('tbody tr')", "Stop broker 1 of default"},
	} {
		p.visit(at.path, at.heading)
		p.until(at.path+" is ready", at.ready)
		check(at.path)
		if at.open != "" {
			p.click(at.open)
			p.until("the dialog is open", "document.querySelector('dialog[open] .curl, dialog[open] footer')")
			check(at.path + ": " + at.open)
			p.click("Close")
		}
	}
	p.visit("topic/default/orders/records", "orders")
	p.until("there are records", "document.querySelector('.records .row:not(.head)')")
	eval[bool](p, "(document.querySelector('.records .row:not(.head)').click(), true)")
	p.until("a record is open", "document.querySelector('dialog[open]')")
	check("a record")
}
