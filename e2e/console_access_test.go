package e2e

import (
	"encoding/json"
	"fmt"
	"io"
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

// Where tokens are asked for, the page asks for one, keeps it for its tab only, shows
// it nowhere, and says what it does not allow.
func TestConsoleSignsIn(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s := guarded(t)
	s.post("/topic", object{"name": "orders", "partitions": 1}, admin...).want(http.StatusCreated)
	s.post("/topic", object{"name": "secrets", "partitions": 1}, admin...).want(http.StatusCreated)
	reader := strings.TrimPrefix(s.token("reader", `[{"do":["read"],"topics":"orders"}]`)[1], "Bearer ")
	p := s.openConsole(ctx)
	p.shows("This server wants a token")
	assert.NotContains(t, eval[string](p, "document.body.innerText"), "Topics")
	p.fill("Token", "wrong")
	p.click("Sign in")
	p.shows("The server does not know this token")
	p.fill("Token", reader)
	p.click("Sign in")
	p.shows("This token does not see everything")

	t.Log("a token without rights")
	p.visit("topics", "Topics")
	p.shows("1 topic")
	assert.NotContains(t, eval[string](p, "document.body.innerText"), "secrets")
	p.curlIs(`curl -s -H "Authorization: Bearer $OTTLA_TOKEN" '/topic'`)
	p.visit("topic/default/orders/produce", "orders")
	p.fill("Value", "1")
	p.click("Write")
	p.shows("may not write topic")
	p.shows("forbidden, request")
	p.click("Delete")
	p.fill("Type orders to confirm", "orders")
	p.click("Delete for good")
	p.shows("may not admin topic")
	p.click("Cancel")
	p.visit("topic/default/secrets", "secrets")
	p.shows("does not exist")
	p.visit("brokers", "Brokers")
	p.visit("groups", "Groups")
	p.visit("topic/default/orders/live", "orders")
	p.until("the live tail sends the token", "document.querySelector('.tail-state')?.innerText.startsWith('live')")
	s.post("/events", object{"topic": "orders", "value": "seen"}, admin...).want(http.StatusOK)
	p.shows(`"seen"`)

	t.Log("it is kept for this tab only")
	require.NoError(t, chromedp.Do(p.ctx, chromedp.Reload()))
	eval[bool](p, pageHelpers)
	p.until("it is still signed in", "document.querySelector('h1')?.innerText.includes('orders')")
	assert.Empty(t, eval[string](p, "localStorage.getItem('ottla-token') ?? ''"))
	assert.NotContains(t, eval[string](p, "document.documentElement.outerHTML + document.cookie + location"), reader)
	other := s.openConsole(ctx)
	other.shows("This server wants a token")

	t.Log("it is deleted while the page is open")
	s.call(http.MethodDelete, "/tokens/reader", nil, admin...).want(http.StatusNoContent)
	p.shows("This server wants a token")
	p.fill("Token", adminSecret)
	p.click("Sign in")
	p.tokens(s)
	p.click("Sign out")
	p.shows("This server wants a token")
	assert.Empty(t, eval[string](p, "sessionStorage.getItem('ottla-token') ?? ''"))
}

// tokens makes a token that works, and deletes it.
func (p *page) tokens(s *server) {
	p.t.Helper()
	p.click("Tokens")
	p.until("the heading is Tokens", "document.querySelector('h1').innerText === 'Tokens'")
	p.click("Create token")
	p.fill("Name", "mailer")
	p.fill("It may", "read write")
	p.fill("Topics", "mail.*")
	p.curlIs(`curl -s -H "Authorization: Bearer $OTTLA_TOKEN" '/tokens' -d '{"name":"mailer","allow":[{"do":["read","write"],"topics":"mail.*"}]}'`)
	p.click("Create")
	p.until("it is shown", "document.querySelector('.secret')")
	secret := eval[string](p, "document.querySelector('.secret').innerText.trim()")
	s.post("/events", object{"topic": "mail.out", "value": 1}, bearer(secret)...).want(http.StatusOK)
	s.post("/events", object{"topic": "orders", "value": 1}, bearer(secret)...).wantStatus(http.StatusForbidden)
	p.shows("read, write on topics mail.*")
	p.click("Done")
	p.until("it is not shown again", "!document.querySelector('.secret')")
	p.changeToken(s, secret)
	p.click("Delete token mailer")
	p.fill("Type mailer to confirm", "mailer")
	p.click("Delete")
	p.until("it is gone", "![...document.querySelectorAll('td')].some(e => e.innerText === 'mailer')")
	s.post("/events", object{"topic": "mail.out", "value": 1}, bearer(secret)...).wantStatus(http.StatusUnauthorized)
}

// changeToken allows the token mailer more, with a bound, and less again.
func (p *page) changeToken(s *server, secret string) {
	p.t.Helper()
	path := `curl -s -X PATCH -H "Authorization: Bearer $OTTLA_TOKEN" '/tokens/mailer' -d `
	p.click("Change token mailer")
	p.disabled("Change")
	p.click("Allow more")
	p.fill("It may (2)", "write")
	p.fill("Topics (2)", "or*ders")
	p.shows("a name, or the beginning of names and *")
	p.disabled("Change")
	p.fill("Topics (2)", "orders")
	p.fill("Requests a second", "none")
	p.disabled("Change")
	p.fill("Requests a second", "50000")
	p.curlIs(path + `'{"allow":[{"do":["read","write"],"topics":"mail.*"},{"do":["write"],"topics":"orders"}],"quota":{"requests_per_s":50000}}'`)
	p.click("Change")
	p.shows("write on topics orders")
	p.shows("requests a second: 50,000")
	s.post("/events", object{"topic": "orders", "value": 1}, bearer(secret)...).want(http.StatusOK)
	p.click("Change token mailer")
	p.click("Do not allow 2")
	p.fill("Requests a second", "")
	p.fill("Expires", "days")
	p.fill("Days until it expires", "30")
	p.until("all three change", `front().querySelector('.curl code')?.innerText.includes('"quota":null')`)
	p.click("Change")
	p.until("it is no longer allowed", "!document.body.innerText.includes('write on topics orders')")
	s.post("/events", object{"topic": "orders", "value": 1}, bearer(secret)...).wantStatus(http.StatusForbidden)
	var token struct {
		ExpiresAt string          `json:"expires_at"`
		Quota     json.RawMessage `json:"quota"`
	}
	s.call(http.MethodGet, "/tokens/mailer", nil, admin...).want(http.StatusOK).decode(&token)
	assert.NotEmpty(p.t, token.ExpiresAt)
	assert.Empty(p.t, token.Quota)
}

// fleet stands before a server as one does that runs on several machines and can move
// what a node has: it answers /nodes and /tasks as the contract has them, and hands on
// the rest.
type fleet struct {
	mu    sync.Mutex
	asked []string
}

func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := func(body any) { _ = json.NewEncoder(w).Encode(body) }
	switch r.URL.Path {
	case "/nodes":
		answer(object{"nodes": []object{
			{"id": 1, "name": "a", "http": "10.0.0.1:8080", "rack": "r1", "version": "v1", "state": "active", "brokers": []object{{"cluster": "default", "id": 1}}, "leaders": 5, "replicas": 9},
			{"id": 2, "name": "b", "http": "10.0.0.2:8080", "rack": "r2", "version": "v1", "state": "draining", "brokers": []object{}, "leaders": 0, "replicas": 9},
			{"id": 3, "name": "c", "http": "10.0.0.3:8080", "rack": "r3", "version": "v1", "state": "unreachable", "brokers": []object{}, "leaders": 0, "replicas": 9},
			{"id": 4, "name": "d", "http": "10.0.0.4:8080", "rack": "r3", "version": "v1", "state": "leaving", "brokers": []object{}, "leaders": 0, "replicas": 4},
		}})
	case "/tasks":
		answer(object{"tasks": []object{{"id": "t-7", "kind": "decommission", "state": "running", "moved": 3, "left": 9, "waiting_for": "orders 2", "started_at": "2026-11-22T17:16:03Z"}}})
	case "/openapi.json":
		answer(object{"paths": object{"/nodes/{node}/drain": object{}, "/nodes/{node}/resume": object{}, "/nodes/{node}/replace": object{}, "/nodes/{node}/decommission": object{}}})
	default:
		body, _ := io.ReadAll(r.Body)
		f.asked = append(f.asked, r.Method+" "+r.URL.Path+string(body))
		w.WriteHeader(http.StatusAccepted)
		answer(object{"id": "t-8"})
	}
}

func TestConsoleShowsNodesAndTasks(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s := start(t)
	to, err := url.Parse(s.base)
	require.NoError(t, err)
	f := &fleet{}
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(to))
	for _, path := range []string{"/nodes", "/nodes/", "/tasks", "/openapi.json"} {
		mux.Handle(path, f)
	}
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	p := openConsole(t, ctx, front.URL)
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
	p.click("Keep")
	p.curlIs(`curl -s -X DELETE '/nodes/4/decommission'`)
	p.click("Keep the node")
	p.shows("Cancel: done")
	p.click("Rebalance")
	p.click("Rebalance")
	p.shows("Rebalance: begun")
	p.click("Replace")
	p.fill("Type c to confirm", "c")
	p.disabled("Replace")
	p.fill("By node", "1")
	p.curlIs(`curl -s '/nodes/3/replace' -d '{"with":1}'`)
	p.click("Replace")
	p.shows("Replace: done")
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(t, []string{"POST /nodes/1/drain", "POST /nodes/2/resume", "POST /nodes/1/decommission", "DELETE /nodes/4/decommission", "POST /nodes/rebalance", `POST /nodes/3/replace{"with":1}`}, f.asked)
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
		p.isForEverybody(at.path)
		if at.open != "" {
			p.click(at.open)
			p.until("the dialog is open", "document.querySelector('dialog[open] .curl, dialog[open] footer')")
			p.isForEverybody(at.path + ": " + at.open)
			p.click("Close")
		}
	}
	p.visit("topic/default/orders/records", "orders")
	p.until("there are records", "document.querySelector('.records .row:not(.head)')")
	eval[bool](p, "(document.querySelector('.records .row:not(.head)').click(), true)")
	p.until("a record is open", "document.querySelector('dialog[open]')")
	p.isForEverybody("a record")

	t.Log("where tokens are asked for")
	s = guarded(t)
	s.token("reader", `[{"do":["read"],"topics":"orders"}]`)
	p = s.openConsole(ctx)
	p.shows("This server wants a token")
	p.isForEverybody("sign in")
	p.fill("Token", adminSecret)
	p.click("Sign in")
	p.click("Tokens")
	p.shows("read on topics orders")
	p.isForEverybody("tokens")
	p.click("Change token reader")
	p.click("Allow more")
	eval[bool](p, "(front().querySelector('summary').click(), true)")
	p.isForEverybody("a token")
}

// isForEverybody checks that what the page shows can be read in the light and in the
// dark, fits on a phone, and has names for its controls.
func (p *page) isForEverybody(name string) {
	p.t.Helper()
	for _, theme := range []string{"light", "dark"} {
		p.look(theme)
		assert.Empty(p.t, eval[[]string](p, contrasts), "%s in the %s", name, theme)
	}
	assert.Empty(p.t, eval[[]string](p, nameless), name)
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.EmulateViewport(360, 740)))
	p.until(name+" fits on a phone", "document.documentElement.scrollWidth <= innerWidth && document.querySelector('main').scrollWidth <= innerWidth")
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.EmulateViewport(1280, 860)))
}
