package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
	"ottla/link/linktest"
)

// errorAnswer is an error as the API writes it.
func errorAnswer(code, message, outcome string, retriable bool) string {
	return fmt.Sprintf(`{"error_code":1,"code":%q,"message":%q,"retriable":%t,"outcome":%q,"request_id":"r7"}`, code, message, retriable, outcome)
}

// An error of the server is printed as one line that says what happened and what
// to do.
func TestErrorLines(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		answer string
		want   string
	}{
		"known, with a hint": {
			409, errorAnswer("group_not_empty", "group \"g\" has live members", "none", false),
			"group \"g\" has live members (group_not_empty, request r7); stop its consumers, or wait until their leases expire",
		},
		"retriable": {
			503, errorAnswer("no_leader", "no leader", "none", true),
			"no leader (no_leader, request r7); try again in a moment",
		},
		"unknown outcome": {
			504, errorAnswer("outcome_unknown", "nobody confirmed it", "unknown", true),
			"nobody confirmed it (outcome_unknown, request r7); it may or may not have happened; try again in a moment",
		},
		"applied all the same": {
			503, errorAnswer("storage_full", "no room", "applied", true),
			"no room (storage_full, request r7); the server's disk is full: free space or shorten retention",
		},
		"no request id": {
			400, `{"code":"malformed","message":"no"}`,
			"no (malformed)",
		},
		"code of a newer server": {
			422, errorAnswer("too_blue", "it is too blue", "none", false),
			"it is too blue (too_blue, request r7)",
		},
		"a proxy's page":       {502, "<html>Bad Gateway</html>", "SERVER answered 502 Bad Gateway; that is the answer of a proxy that does not reach the server behind it"},
		"a proxy that asks":    {401, "", "SERVER answered 401 Unauthorized; that is not Ottla's answer but that of a proxy in front of it: give it credentials in the URL (https://USER:PASSWORD@HOST; they are not sent where a token is shown), or with --header NAME=VALUE"},
		"a forward proxy":      {407, "", "SERVER answered 407 Proxy Authentication Required; that is the answer of the proxy that HTTP_PROXY or HTTPS_PROXY names: give its credentials there (http://USER:PASSWORD@PROXY)"},
		"a redirect":           {307, "", "SERVER answered 307 Temporary Redirect; the client does not go to another host by itself: name the server where it is, with --server"},
		"a proxy that refuses": {403, "<html>no</html>", "SERVER answered 403 Forbidden; that is not Ottla's answer but that of a proxy in front of it: it does not let you through. --header NAME=VALUE shows it who you are"},
		"a proxy's limit":      {413, "<html>large</html>", "SERVER answered 413 Request Entity Too Large; that is the answer of a proxy that takes no request as large as Ottla does: raise its limit (client_max_body_size in nginx)"},
		"another API's error":  {404, `{"error":"not found"}`, "SERVER answered 404 Not Found; is it an Ottla server?"},
		"a page of success":    {200, "<html>", "the answer of SERVER to DELETE /topic/t is not what an Ottla server gives"},
		"half an answer":       {200, `{"topics":[`, "the answer of SERVER to DELETE /topic/t is not what an Ottla server gives"},
		"not even an HTTP one": {0, "SSH-2.0-OpenSSH_9.2\r\n", "cannot ask the server at SERVER: "},
		"cut off":              {0, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "cannot ask the server at SERVER: read answer: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t, func(int, asked) (int, string) { return tt.status, tt.answer })
			if tt.status == 0 {
				s.url = rawServer(t, tt.answer)
			}
			code, stdout, stderr := s.ottla(t, "", "topic", "delete", "t")
			assert.Equal(t, exitFailed, code)
			assert.Empty(t, stdout)
			line := "ottla: " + strings.ReplaceAll(tt.want, "SERVER", s.url)
			if strings.HasSuffix(line, ": ") {
				assert.True(t, strings.HasPrefix(stderr, line), stderr)
			} else {
				assert.Equal(t, line+"\n", stderr)
			}
			assert.Equal(t, 1, strings.Count(stderr, "\n"))
		})
	}
}

// What a proxy in front asks for is said, and can be given, by a header too, from a context
// or the command line; nothing prints it.
func TestHeadersForAProxy(t *testing.T) {
	var other atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		other.Store(r.Header.Get("X-Other"))
		if r.Header.Get("X-Team") != "secret=7" {
			w.Header().Set("Server", "gate/1.2")
			w.Header().Set("WWW-Authenticate", `Basic realm="staff"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"topics":[]}`)
	}))
	defer srv.Close()
	home := t.TempDir()
	ottla := func(args ...string) (code int, all string) {
		var out bytes.Buffer
		code = run(&process{stdin: strings.NewReader(""), stdout: &out, stderr: &out, lookupEnv: func(name string) (string, bool) {
			return home, name == "HOME"
		}}, args)
		assert.NotContains(t, out.String(), "secret")
		return code, out.String()
	}
	code, out := ottla("topic", "list", "--server", srv.URL)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, out, `answered 401 Unauthorized (gate/1.2), and asks for Basic realm="staff"; that is not Ottla's answer`)
	code, out = ottla("topic", "list", "--output", "json", "--server", srv.URL, "--header", "x-team=secret=7", "--header", "X-Other=b")
	assert.Equal(t, exitOK, code, out)
	assert.Equal(t, "b", other.Load())

	code, out = ottla("context", "add", "proxied", "--server", srv.URL, "--header", "X-Team=secret=7")
	require.Equal(t, exitOK, code, out)
	code, out = ottla("topic", "list")
	assert.Equal(t, exitOK, code, out)
	code, out = ottla("context", "list")
	assert.Equal(t, exitOK, code, out)
	code, _ = ottla("topic", "list", "--header", "X-Team=secret8")
	assert.Equal(t, exitFailed, code, "the command line counts")
	for _, wrong := range []string{"secret", "=secret", "A b=secret", "A=secret\n", "host=secret", "Content-Length=7", "producer-seq=secret", "Producer-Id=secret", "Producer-Epoch=secret", "Idempotency-Key=secret", "Last-Event-ID=secret", "Content-Type=secret"} {
		code, _ = ottla("topic", "list", "--header", wrong)
		assert.Equal(t, exitUsage, code, wrong)
	}
	code, _ = ottla("topic", "list", "--header", "Authorization=Basic secret", "--token", "t")
	assert.Equal(t, exitUsage, code)
}

// rawServer answers every connection with the same bytes.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	return "http://" + ln.Addr().String()
}

func TestServerNames(t *testing.T) {
	for server, want := range map[string]string{
		"127.0.0.1:8080":                     "http://127.0.0.1:8080",
		"http://broker.example":              "http://broker.example",
		"https://broker.example:443/ottla/":  "https://broker.example:443/ottla",
		"http://user:secret@broker.example/": "http://user:xxxxx@broker.example",
		"localhost":                          "http://localhost",
	} {
		a, err := newAPI(server, nil, "")
		require.NoError(t, err, server)
		assert.Equal(t, want, a.name)
	}
	for _, server := range []string{"", "http://", "ftp://broker", "://", "http://[::1", "unix:///run/ottla"} {
		_, err := newAPI(server, nil, "")
		var usage usageError
		assert.ErrorAs(t, err, &usage, server)
	}
}

// A password in the URL is sent, and never shown.
func TestPasswordsAreNotPrinted(t *testing.T) {
	s := newStandIn(t, func(int, asked) (int, string) { return 401, "" })
	s.url = strings.Replace(s.url, "//", "//user:secret@", 1)
	_, _, stderr := s.ottla(t, "", "topic", "list")
	assert.NotContains(t, stderr, "secret")
	name, password, ok := (&http.Request{Header: s.asked[0].header}).BasicAuth()
	assert.Equal(t, []any{"user", "secret", true}, []any{name, password, ok})

	s.url = "http://user:secret@" + linktest.FreeAddress(t)
	for _, args := range []string{"topic list", "consume t", "produce t"} {
		_, _, stderr = s.ottla(t, "1\n", strings.Fields(args)...)
		assert.Contains(t, stderr, "no server answers at http://user:xxxxx@", args)
		assert.NotContains(t, stderr, "secret", args)
	}
}

// --server overrides the environment variable.
func TestServerFlagWins(t *testing.T) {
	flagged := newStandIn(t, func(int, asked) (int, string) { return 200, `{"topics":[]}` })
	other := newStandIn(t, func(int, asked) (int, string) { return 500, "" })
	code, _, stderr := other.ottla(t, "", "topic", "list", "--server", strings.TrimPrefix(flagged.url, "http://"))
	assert.Equal(t, exitOK, code, stderr)
	assert.Len(t, flagged.asked, 1)
	assert.Empty(t, other.asked)
}

// A signal ends a command at once while it waits for the answer.
func TestInterruptedCommand(t *testing.T) {
	signals := make(chan os.Signal, 2)
	hold := make(chan struct{})
	s := newStandIn(t, func(int, asked) (int, string) {
		signals <- syscall.SIGINT
		<-hold
		return 200, `{}`
	})
	defer close(hold)
	code, _, stderr := s.with(signals).ottla(t, "", "topic", "create", "t")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "ottla: interrupted\n", stderr)
}

func TestExplainLeavesOtherErrorsAlone(t *testing.T) {
	a, err := newAPI("127.0.0.1:1", nil, "")
	require.NoError(t, err)
	for _, err := range []error{context.Canceled, errors.New("disk full"), fmt.Errorf("x: %w", os.ErrNotExist)} {
		assert.Equal(t, err, a.explain(err))
	}
	said := &client.Error{Code: "no_leader", Message: "m"}
	explained := a.explain(fmt.Errorf("poll t: %w", said))
	assert.ErrorIs(t, explained, error(said), "what it was is still to be seen")
	assert.EqualError(t, explained, "m (no_leader)")
	given := a.explain(&client.DeliveryError{Tries: 3, Unknown: true, Err: said})
	assert.EqualError(t, given, "m (no_leader); it may or may not have happened")
}

func TestRetriesDecide(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	a, err := newAPI(gone.URL, nil, "")
	require.NoError(t, err)
	_, away := a.Topics(t.Context(), "")
	require.Error(t, away)
	busy := &client.Error{Code: "no_leader", Message: "m", Retriable: true}
	proxy := &client.Error{Code: client.CodeHTTPStatus, Status: 502, Retriable: true}

	var notes []string
	fresh := func(limit time.Duration) *retries {
		notes = nil
		return &retries{api: a, note: func(text string) { notes = append(notes, text) }, limit: limit}
	}
	r := fresh(time.Hour)
	assert.False(t, r.again(away), "a server that never answered is a wrong address")
	assert.False(t, r.again(proxy), "a page is no answer of ours")
	assert.Empty(t, notes)
	assert.True(t, r.again(busy))
	assert.True(t, r.again(away), "it answered before")
	assert.Equal(t, []string{"retrying: m (no_leader)"}, notes, "once for all tries")
	assert.False(t, r.again(proxy))
	assert.True(t, r.succeeded())
	assert.False(t, r.succeeded(), "nothing had failed since")
	assert.True(t, r.again(away))
	require.Len(t, notes, 2)
	assert.Contains(t, notes[1], "retrying: no server answers at "+gone.URL)

	r = fresh(0)
	assert.False(t, r.again(busy), "no patience")
	r = fresh(time.Nanosecond)
	r.succeeded()
	r.since = time.Now().Add(-time.Second)
	assert.False(t, r.again(busy), "it has lasted too long")
	r.succeeded()
	r.limit = time.Hour
	assert.True(t, r.again(busy), "a new failure has its own time")
}

// A change that a server refuses because it has only just started is sent again; what it
// refuses for another reason, or may have done, is not.
func TestChangesWaitForAServerThatStarts(t *testing.T) {
	s := newStandIn(t, func(n int, _ asked) (int, string) {
		if n <= 2 {
			return 503, errorAnswer("starting", "the broker is recovering its metadata", "none", true)
		}
		return 201, `{"name":"t"}`
	})
	s.must(t, "", "topic", "create", "t")
	require.Len(t, s.asked, 3)
	assert.Equal(t, s.asked[0], s.asked[2])
	for _, answer := range []string{
		errorAnswer("no_leader", "no", "none", true), errorAnswer("starting", "no", "unknown", true), errorAnswer("topic_exists", "no", "none", false),
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return 503, answer })
		code, _, _ := s.ottla(t, "", "topic", "create", "t")
		assert.Equal(t, exitFailed, code)
		assert.Len(t, s.asked, 1, answer)
	}
	s = newStandIn(t, func(int, asked) (int, string) { return 503, errorAnswer("starting", "no", "none", true) })
	code, _, _ := s.ottla(t, "", "topic", "list")
	assert.Equal(t, exitFailed, code)
	assert.Len(t, s.asked, 1, "what is only read is said as it is")
}
