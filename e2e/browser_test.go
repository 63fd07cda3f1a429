package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser starts Chromium, for which every name that ends in .test is this
// machine. The test is skipped where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on this machine")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"),
		chromedp.Flag("enable-precise-memory-info", true), chromedp.Flag("js-flags", "--expose-gc"))
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	require.NoError(t, chromedp.Do(ctx)) // the browser lives as long as this context
	return ctx
}

// attack is a page that tries whatever a page can without being asked. It fills
// its title when it is done.
const attack = `<!doctype html><title>at work</title>
<form id=f method=post enctype="text/plain" target=frame action="%[1]s/events?topic=by-form"><input name="{" value="}"></form>
<iframe name=frame></iframe><iframe src="%[1]s/events?topic=by-frame&timeout_ms=1&auto_create=true"></iframe>
<img src="%[1]s/events?topic=by-image&timeout_ms=1&auto_create=true"><script src="%[1]s/events?topic=by-script&timeout_ms=1&auto_create=true"></script>
<script>
const base = "%[1]s", got = [];
const tries = [
  ["stop", () => fetch(base + "/cluster/default/brokers/2/stop", {method: "POST", mode: "no-cors"})],
  ["text", () => fetch(base + "/events?topic=by-text", {method: "POST", mode: "no-cors", body: "x"})],
  ["form", () => fetch(base + "/events", {method: "POST", mode: "no-cors", body: new URLSearchParams({topic: "by-fields"})})],
  ["blob", () => fetch(base + "/events", {method: "POST", mode: "no-cors", body: new Blob(['{"topic":"by-blob","value":1}'])})],
  ["json", () => fetch(base + "/events", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"topic":"by-json","value":1}'})],
  ["read", () => fetch(base + "/events?topic=secrets&timeout_ms=1").then(r => r.text()).then(text => got.push(text))],
  ["delete", () => fetch(base + "/topic/secrets", {method: "DELETE"})],
];
document.getElementById("f").submit();
navigator.sendBeacon(base + "/events?topic=by-beacon", "x");
const events = new EventSource(base + "/events?topic=secrets&group=spy");
events.onmessage = m => got.push(m.data);
Promise.allSettled(tries.map(([name, run]) => run())).then(() => setTimeout(() => { document.title = "got " + JSON.stringify(got); }, 1500));
</script>`

// serveText serves one page on a port of its own.
func serveText(t *testing.T, body string) (port string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	require.NoError(t, err)
	return port
}

// visit opens a page and returns its title once that begins with what it says
// when it is done.
func visit(t *testing.T, ctx context.Context, address, done string) (title string) {
	t.Helper()
	tab, end := chromedp.NewContext(ctx)
	defer end()
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(address)))
	require.Eventually(t, func() bool {
		var err error
		title, err = chromedp.Run(tab, chromedp.Title())
		require.NoError(t, err)
		return strings.HasPrefix(title, done)
	}, waitTimeout, 50*time.Millisecond, "the page is never done")
	return strings.TrimPrefix(title, done)
}

// names are the names of a list that the server gives.
func (s *server) names(path, list, field string) (names []string) {
	s.t.Helper()
	var reply map[string][]map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(s.text(path)), &reply))
	for _, item := range reply[list] {
		names = append(names, fmt.Sprint(item[field]))
	}
	return names
}

// text is the body of a GET that must be answered 200.
func (s *server) text(path string) string {
	s.t.Helper()
	resp, err := http.Get(s.base + path)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, resp.StatusCode, string(body))
	return string(body)
}

// secretive starts a server with one record, and the page that is after it.
func secretive(t *testing.T, settings ...string) (s *server, port string) {
	t.Helper()
	s = start(t, settings...)
	post, err := http.Post(s.base+"/events", "application/json", strings.NewReader(`{"topic":"secrets","value":"secret"}`))
	require.NoError(t, err)
	require.NoError(t, post.Body.Close())
	require.Equal(t, http.StatusOK, post.StatusCode)
	return s, serveText(t, fmt.Sprintf(attack, s.base))
}

// brokerStates are the states of the default cluster's brokers.
func (s *server) brokerStates() (states []string) {
	s.t.Helper()
	var c struct{ Brokers []struct{ State string } }
	require.NoError(s.t, json.Unmarshal([]byte(s.text("/cluster/default")), &c))
	for _, b := range c.Brokers {
		states = append(states, b.State)
	}
	return states
}

// A page of another origin, far away or next door, changes nothing and learns
// nothing, whatever it tries.
func TestPagesOfOtherOriginsInABrowser(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s, port := secretive(t)
	for name, host := range map[string]string{"another site": "evil.test", "another port": "127.0.0.1", "another name of this machine": "localhost"} {
		s.run(name, func(t *testing.T) {
			assert.Equal(t, "[]", visit(t, ctx, "http://"+net.JoinHostPort(host, port)+"/", "got "))
		})
	}
	assert.Equal(t, []string{"secrets"}, s.names("/topics", "topics", "name"), "a page made a topic, or deleted one")
	assert.Empty(t, s.names("/groups", "groups", "group"), "a page joined a group")
	assert.Equal(t, []string{"running", "running", "running"}, s.brokerStates(), "a page stopped a broker")
}

// What the page tries does get it in where every origin is allowed.
func TestTheAttackWorksWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s, port := secretive(t, "OTTLA_CORS_ORIGINS=*")
	visit(t, ctx, "http://"+net.JoinHostPort("evil.test", port)+"/", "got ")
	assert.Contains(t, s.brokerStates(), "stopped")
	assert.NotContains(t, s.names("/topics", "topics", "name"), "secrets", "it was deleted")
	assert.Contains(t, s.names("/topics", "topics", "name"), "by-json")
}

// A page whose name resolves to this server is taken for the server's own by the
// browser, and for nobody's by the server.
func TestRebindingInABrowser(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s := start(t)
	at, err := url.Parse(s.base)
	require.NoError(t, err)
	tab, end := chromedp.NewContext(ctx)
	defer end()
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate("http://rebound.test:"+at.Port()+"/healthz")))
	body, err := chromedp.Run(tab, chromedp.Text("body"))
	require.NoError(t, err)
	assert.Contains(t, body, `"code":"unknown_host"`)
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(s.base+"/healthz")))
	body, err = chromedp.Run(tab, chromedp.Text("body"))
	require.NoError(t, err)
	assert.Contains(t, body, `"status":"ok"`, "typed by hand it is answered")
}

// app is a page that follows a topic and writes to it.
const app = `<!doctype html><title>at work</title><script>
const events = new EventSource("%[1]s/events?topic=chat&group=page");
events.onmessage = m => { document.title = "read " + JSON.parse(m.data).value; };
fetch("%[1]s/events", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"topic":"chat","value":"hello"}'})
  .then(r => r.json()).then(r => { if (!r.committed) document.title = "read nothing: " + JSON.stringify(r); });
</script>`

func TestAnAllowedOriginInABrowser(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	origin := "http://app.test:" + port
	s := start(t, "OTTLA_CORS_ORIGINS="+origin)
	created, err := http.Post(s.base+"/topic", "application/json", strings.NewReader(`{"name":"chat","partitions":1}`))
	require.NoError(t, err)
	require.NoError(t, created.Body.Close())
	page := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, app, s.base)
	})}}
	page.Start()
	t.Cleanup(page.Close)
	assert.Equal(t, "hello", visit(t, ctx, origin+"/", "read "))
}
