package http

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/http/access"
	"ottla/protocol"
)

const adminToken = "an-admin-token-of-the-tests"

// guarded is a server that asks for tokens, and the rights with which the broker
// was used.
func guarded(t *testing.T, o Options) (h *harness, used func() []protocol.Access) {
	t.Helper()
	var all []protocol.Access
	b := newFake()
	var err error
	o.Access, err = access.New(b, access.Options{AdminToken: adminToken})
	require.NoError(t, err)
	o.As = func(a protocol.Access) Backend {
		b.mu.Lock()
		defer b.mu.Unlock()
		all = append(all, a)
		return usedBy{b, a}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h = startWith(t, b, o, tcpListener{ln})
	return h, func() []protocol.Access {
		h.b.mu.Lock()
		defer h.b.mu.Unlock()
		return all
	}
}

// to is for requests by hand.
func to(headers ...string) []string { return append([]string{"Host", "127.0.0.1"}, headers...) }

// awaitParked waits until a read begins to wait.
func (h *harness) awaitParked() {
	h.t.Helper()
	select {
	case <-h.b.parked:
	case <-time.After(patience):
		require.FailNow(h.t, "no read waits")
	}
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// create makes a token with the administrator's, and returns it.
func (h *harness) create(name, allow string) string {
	h.t.Helper()
	v := wantOK(h.t, h.do("POST", "/tokens", `{"name":"`+name+`","allow":`+allow+`}`, bearer(adminToken)...), 201)
	token, _ := v["token"].(string)
	require.True(h.t, strings.HasPrefix(token, "ottla_") && len(token) > 40, token)
	return token
}

// Without a token nothing happens, whatever the request is; the few routes that
// need none say so in the table.
func TestEveryRouteHasARule(t *testing.T) {
	h, _ := guarded(t, Options{})
	open := map[string]bool{"/": true, consolePath: true, consolePath + "{file}": true, "/healthz": true, "/readyz": true, "/openapi.json": true, "/docs": true}
	for _, rt := range table {
		t.Run(rt.method+" "+rt.path, func(t *testing.T) {
			require.NotEmpty(t, rt.needs.on, "the route has no rule")
			require.Equal(t, open[rt.path] || rt.method == "POST" && rt.path == sourcePath, rt.needs.open())
			require.Equal(t, rt.needs.open(), rt.needs.do == 0, "what is done is part of the rule")
			target := strings.NewReplacer("{cluster}", "default", "{topic}", "a", "{partition}", "0", "{group}", "g", "{consumer_id}", "1",
				"{broker}", "1", "{token}", "x", "{source}", "x", "{file}", "app.js").Replace(rt.path)
			for name, headers := range map[string][]string{
				"none":        nil,
				"unknown":     bearer("ottla_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
				"empty":       {"Authorization", ""},
				"no scheme":   {"Authorization", adminToken},
				"other":       {"Authorization", "Digest " + adminToken},
				"no password": {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("admin"))},
				"no base64":   {"Authorization", "Basic " + adminToken},
			} {
				for _, body := range []string{"", `{"topic":"a","value":1}`} {
					a := h.ask(rt.method, target, body, to(headers...)...)
					if rt.needs.open() {
						assert.NotEqual(t, 401, a.status, name)
						continue
					}
					e := wantError(t, a, 401, "unauthorized")
					assert.Equal(t, "none", e["outcome"], name)
					assert.Contains(t, a.header.Get("WWW-Authenticate"), `Bearer realm="ottla"`, name)
					assert.NotContains(t, a.body, adminToken)
				}
			}
		})
	}
	assertUntouched(t, h)
	wantError(t, h.do("GET", "/nothing", ""), 404, "route_not_found")
	wantError(t, h.do("PUT", "/topic", ""), 405, "method_not_allowed")
	assert.Equal(t, 204, h.ask("OPTIONS", "/topic", "", "Origin", "http://127.0.0.1", "Host", "127.0.0.1").status)
}

// The broker is used with the right that stands in the table.
func TestEveryRouteUsesItsRight(t *testing.T) {
	for _, rt := range table {
		h, used := guarded(t, Options{})
		h.b.add("a", 1)
		target := strings.NewReplacer("{cluster}", "default", "{topic}", "a", "{partition}", "0", "{group}", "g", "{consumer_id}", "1",
			"{broker}", "1", "{token}", "x", "{source}", "x", "{file}", "app.js").Replace(rt.path)
		h.ask(rt.method, target+"?unknown=1", "", to(bearer(adminToken)...)...)
		do := rt.needs.do
		if rt.needs.open() {
			do = protocol.RightRead
		}
		require.Len(t, used(), 1, "%s %s", rt.method, rt.path)
		assert.Equal(t, do, used()[0].Do, "%s %s", rt.method, rt.path)
		assert.Equal(t, "admin", used()[0].Who.Name())
	}
}

func TestTokensAsTheyAreShown(t *testing.T) {
	h, used := guarded(t, Options{})
	token := h.create("team", `[{"do":["write"],"topics":"team.*"}]`)
	const event = `{"topic":"team.a","value":1}`
	basic := func(user, password string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
	}
	for name, headers := range map[string][]string{
		"bearer": bearer(token), "in capitals": {"Authorization", "BEARER " + token}, "spaces": {"Authorization", "bearer   " + token},
		"basic": basic("whoever", token), "no name": basic("", token),
	} {
		a := h.do("POST", "/events", event, headers...)
		assert.Equal(t, 200, a.status, "%s: %s", name, a.body)
	}
	for _, headers := range [][]string{basic(token, "x"), basic("a", ""), bearer(token + "x"), bearer(token[:len(token)-1]), bearer(strings.ToUpper(token))} {
		wantError(t, h.do("POST", "/events", event, headers...), 401, "unauthorized")
	}
	e := wantError(t, h.do("POST", "/events", `{"topic":"other","value":1}`, bearer(token)...), 403, "forbidden")
	assert.Contains(t, e["message"], `"team" may not write topic "other"`)
	assert.Equal(t, map[string]any{
		"action": "write", "resource": map[string]any{"kind": "topic", "cluster": "default", "name": "other"},
	}, e["details"])
	assert.NotContains(t, h.b.topics, "other")
	wantError(t, h.do("GET", "/metrics", "", bearer(token)...), 403, "forbidden")
	wantError(t, h.do("POST", "/tokens", `{"name":"more","allow":[{"do":["admin"]}]}`, bearer(token)...), 403, "forbidden")
	wantOK(t, h.do("GET", "/readyz", "", bearer(token+"stale")...), 200)

	// A connection remembers who asks, and no more than that.
	before := len(used())
	for range 3 {
		wantOK(t, h.do("POST", "/events", event, bearer(token)...), 200)
	}
	assert.LessOrEqual(t, len(used()), before+1)
	wantError(t, h.do("POST", "/events", event), 401, "unauthorized")
	wantError(t, h.do("POST", "/events", event, bearer("x")...), 401, "unauthorized")
}

// A change of a token is in force with the answer to it, also on connections that
// the token has opened before.
func TestChangesOfATokenAreInForceAtOnce(t *testing.T) {
	h, _ := guarded(t, Options{})
	token := h.create("team", `[{"do":["write"],"topics":"a"}]`)
	admin := bearer(adminToken)
	write := func(topic string) answer {
		return h.do("POST", "/events", `{"topic":"`+topic+`","value":1}`, bearer(token)...)
	}
	wantOK(t, write("a"), 200)
	wantError(t, write("b"), 403, "forbidden")
	wantOK(t, h.do("PATCH", "/tokens/team", `{"allow":[{"do":["write"],"topics":"b"}]}`, admin...), 200)
	wantError(t, write("a"), 403, "forbidden")
	wantOK(t, write("b"), 200)
	assert.Equal(t, 204, h.do("DELETE", "/tokens/team", "", admin...).status)
	wantError(t, write("b"), 401, "unauthorized")
	wantError(t, h.do("DELETE", "/tokens/team", "", admin...), 404, "token_not_found")

	// One that expires does so by the clock.
	token = h.create("short", `[{"do":["write"],"topics":"a"}]`)
	wantOK(t, write("a"), 200)
	soon := time.Now().Add(50 * time.Millisecond)
	h.b.change(func(list []*protocol.TokenEntry) []*protocol.TokenEntry {
		e := *list[0]
		e.ExpiresAt = &soon
		return []*protocol.TokenEntry{&e}
	})
	require.Eventually(t, func() bool { return write("a").status == 401 }, patience, 5*time.Millisecond)
	assert.True(t, time.Now().After(soon))
}

// A rotated token has two secrets for a while: who waits with the old one goes on until its
// time is over, and nobody sees the new one twice.
func TestATokenIsRotated(t *testing.T) {
	h, _ := guarded(t, Options{})
	admin := bearer(adminToken)
	old := h.create("team", `[{"do":["write"],"topics":"a"}]`)
	write := func(token string) int {
		return h.do("POST", "/events", `{"topic":"a","value":1}`, bearer(token)...).status
	}
	rotate := func(body string) string {
		a := h.do("POST", "/tokens/team/rotate", body, admin...)
		v := wantOK(t, a, 200)
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
		assert.NotEmpty(t, v["previous_until"])
		return v["token"].(string)
	}
	fresh := rotate("")
	assert.NotEqual(t, old, fresh)
	assert.Equal(t, []int{200, 200}, []int{write(old), write(fresh)})
	assert.NotContains(t, h.do("GET", "/tokens/team", "", admin...).body, fresh)

	fresh2 := rotate(`{"overlap_ms":50}`)
	assert.Equal(t, 401, write(old), "there are two at most")
	assert.Equal(t, 200, write(fresh2))
	require.Eventually(t, func() bool { return write(fresh) == 401 }, patience, 5*time.Millisecond)
	assert.Equal(t, 200, write(fresh2))
	rotate(`{"overlap_ms":0}`)
	assert.Equal(t, 401, write(fresh2))

	for body, code := range map[string]string{`{"overlap_ms":-1}`: "not_allowed", `{"overlap_ms":2592000001}`: "not_allowed", `{"overlap_ms":"1h"}`: "malformed", `{"x":1}`: "unknown_field"} {
		a := h.do("POST", "/tokens/team/rotate", body, admin...)
		assert.Contains(t, []int{400, 422}, a.status, body)
		assert.Contains(t, a.body, code, body)
	}
	wantError(t, h.do("POST", "/tokens/nobody/rotate", "", admin...), 404, "token_not_found")
	team := h.create("other", `[{"do":["read","write"]}]`)
	wantError(t, h.do("POST", "/tokens/team/rotate", "", bearer(team)...), 403, "forbidden")
}

// While nobody can say which tokens there are, none is refused for good.
func TestTokensBeforeTheyAreKnown(t *testing.T) {
	h, _ := guarded(t, Options{})
	h.b.fakeTokens.mu.Lock()
	h.b.err = protocol.Errorf(protocol.CodeStarting, "starting")
	h.b.fakeTokens.mu.Unlock()
	h.b.changed()
	wantError(t, h.do("GET", "/topics", "", bearer("ottla_x")...), 503, "starting")
	wantError(t, h.do("GET", "/topics", ""), 401, "unauthorized")
	wantOK(t, h.do("GET", "/topics", "", bearer(adminToken)...), 200)
}

func TestTokensOverTheAPI(t *testing.T) {
	h, _ := guarded(t, Options{})
	admin := bearer(adminToken)
	token := h.create("team-a", `[{"do":["read","write","read"],"cluster":"default","topics":"a.*","groups":"*"},{"do":["admin"]}]`)
	a := h.do("GET", "/tokens/team-a", "", admin...)
	wantOK(t, a, 200)
	assert.JSONEq(t, `{"name":"team-a","created_at":"2026-11-22T17:16:03.123Z",
		"allow":[{"do":["read","write"],"cluster":"default","topics":"a.*","groups":"*"},{"do":["admin"]}]}`, a.body)
	wantError(t, h.do("POST", "/tokens", `{"name":"team-a","allow":[{"do":["read"]}]}`, admin...), 409, "token_exists")
	wantOK(t, h.do("PATCH", "/tokens/team-a", `{"expires_at":"2999-01-02T03:04:05+01:00"}`, admin...), 200)
	wantError(t, h.do("PATCH", "/tokens/nobody", `{}`, admin...), 404, "token_not_found")
	wantError(t, h.do("GET", "/tokens/nobody", "", admin...), 404, "token_not_found")

	other := h.create("team-b", `[{"do":["read"],"topics":"b"}]`)
	assert.NotEqual(t, token, other)
	var all struct{ Tokens []protocol.TokenInfo }
	list := h.do("GET", "/tokens", "", admin...)
	require.NoError(t, json.Unmarshal([]byte(list.body), &all))
	assert.Len(t, all.Tokens, 2)
	for _, secret := range []string{token, other, "hash"} {
		assert.NotContains(t, list.body, secret)
	}
	// Who may administer everything sees all tokens, another one its own.
	own := h.do("GET", "/tokens", "", bearer(other)...)
	wantOK(t, own, 200)
	assert.NotContains(t, own.body, "team-a")
	wantOK(t, h.do("GET", "/tokens/team-b", "", bearer(other)...), 200)
	wantError(t, h.do("GET", "/tokens/team-a", "", bearer(other)...), 404, "token_not_found")
	assert.Contains(t, h.do("GET", "/tokens", "", bearer(token)...).body, "team-b")

	for body, want := range map[string]string{
		`{"allow":[{"do":["read"]}]}`:                                                           "400 missing_field",
		`{"name":"x"}`:                                                                          "400 missing_field",
		`{"name":"x","allow":[{}]}`:                                                             "400 missing_field",
		`{"name":"x","allow":{}}`:                                                               "400 malformed",
		`{"name":"x","allow":[1]}`:                                                              "400 malformed",
		`{"name":"x","allow":[{"do":"read"}]}`:                                                  "400 malformed",
		`{"name":"x","allow":[{"do":[1]}]}`:                                                     "400 malformed",
		`{"name":"x","allow":[{"do":["read"],"topics":1}]}`:                                     "400 malformed",
		`{"name":"x","allow":[{"do":["read"],"topic":"a"}]}`:                                    "400 unknown_field",
		`{"name":"x","allow":[{"do":["read"]}],"more":1}`:                                       "400 unknown_field",
		`{"name":"x","allow":[{"do":["read"]}],"expires_at":5}`:                                 "400 malformed",
		`{"name":"x","allow":[{"do":["read"]}],"expires_at":"soon"}`:                            "400 invalid_parameter",
		`{"name":"x","allow":[{"do":["read"]}],"expires_at":"2020-01-01T00:00:00Z"}`:            "422 not_allowed",
		`{"name":"admin","allow":[{"do":["read"]}]}`:                                            "422 not_allowed",
		`{"name":"x/y","allow":[{"do":["read"]}]}`:                                              "422 invalid_name",
		`{"name":"x","allow":[]}`:                                                               "422 not_allowed",
		`{"name":"x","allow":[{"do":[]}]}`:                                                      "422 not_allowed",
		`{"name":"x","allow":[{"do":["all"]}]}`:                                                 "422 not_allowed",
		`{"name":"x","allow":[{"do":["read"],"topics":"a*b"}]}`:                                 "422 not_allowed",
		`{"name":"x","allow":[{"do":["read"],"groups":""}]}`:                                    "422 not_allowed",
		`{"name":"x","allow":[` + strings.Repeat(`{"do":["read"]},`, 100) + `{"do":["read"]}]}`: "422 not_allowed",
	} {
		a := h.do("POST", "/tokens", body, admin...)
		status, code, _ := strings.Cut(want, " ")
		e := wantError(t, a, int(status[0]-'0')*100+int(status[1]-'0')*10+int(status[2]-'0'), code)
		assert.NotEmpty(t, e["message"], body)
	}
	assert.Len(t, h.b.list, 2)
}

// Without auth.mode: token the routes are there all the same: tokens can be made
// before they are asked for.
func TestTokensWhereNobodyIsAsked(t *testing.T) {
	h := start(t, Options{})
	wantOK(t, h.do("POST", "/tokens", `{"name":"a","allow":[{"do":["read"]}]}`), 201)
	wantOK(t, h.do("GET", "/tokens", "", bearer("whatever")...), 200)
	assert.Equal(t, 204, h.do("DELETE", "/tokens/a", "").status)
}

// A poll and a stream that wait end when their token is deleted, or changed so that
// it does not allow them any more, and go on when it allows them still.
func TestReadsThatWaitLoseTheirToken(t *testing.T) {
	const may, mayNot = `[{"do":["read"],"topics":"liked","groups":"g*"}]`, `[{"do":["read"],"topics":"other","groups":"g*"}]`
	change := func(h *harness, allow string) {
		if allow == "" {
			assert.Equal(t, 204, h.do("DELETE", "/tokens/team", "", bearer(adminToken)...).status)
			return
		}
		wantOK(t, h.do("PATCH", "/tokens/team", `{"allow":`+allow+`}`, bearer(adminToken)...), 200)
	}
	for _, target := range []string{"/events?topic=liked&group=g&timeout_ms=30000", "/topic/liked/partitions/0/records?timeout_ms=30000&offset=0"} {
		for allow, want := range map[string]int{"": 401, mayNot: 403, `[{"do":["read"],"topics":"*","groups":"*"}]`: 200} {
			h, _ := guarded(t, Options{MaxTimeout: time.Minute})
			h.b.add("liked", 1)
			h.b.parked = make(chan struct{}, 1)
			token := h.create("team", may)
			got := make(chan answer, 1)
			go func() { got <- h.ask("GET", target, "", to(bearer(token)...)...) }()
			h.awaitParked()
			change(h, allow)
			a := <-got
			assert.Equal(t, want, a.status, "%s %s: %s", target, allow, a.body)
		}
	}
}

func TestStreamsLoseTheirToken(t *testing.T) {
	for kind, problem := range map[string]string{"text/event-stream": "event: problem\ndata: {", "application/x-ndjson": `{"error":{`} {
		for allow, code := range map[string]string{"": "unauthorized", `[{"do":["read"],"topics":"other","groups":"g*"}]`: "forbidden"} {
			h, _ := guarded(t, Options{})
			h.b.add("liked", 1)
			h.b.parked = make(chan struct{}, 8)
			token := h.create("team", `[{"do":["read"],"topics":"liked","groups":"g*"}]`)
			got := make(chan answer, 1)
			go func() {
				got <- h.ask("GET", "/events?topic=liked&group=g", "", to("Authorization", "Bearer "+token, "Accept", kind)...)
			}()
			h.awaitParked()
			// Allowed in another way, the stream goes on.
			wantOK(t, h.do("PATCH", "/tokens/team", `{"allow":[{"do":["read"],"topics":"l*","groups":"g"}]}`, bearer(adminToken)...), 200)
			h.awaitParked()
			if allow == "" {
				assert.Equal(t, 204, h.do("DELETE", "/tokens/team", "", bearer(adminToken)...).status)
			} else {
				wantOK(t, h.do("PATCH", "/tokens/team", `{"allow":`+allow+`}`, bearer(adminToken)...), 200)
			}
			a := <-got
			assert.Equal(t, 200, a.status)
			assert.Contains(t, a.body, problem)
			assert.Contains(t, a.body, `"code":"`+code+`"`)
		}
	}
}

// FuzzAuthorization: whatever a client shows is a token, or none; it never panics,
// and never is the token of somebody else.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"", "Bearer", "Bearer ", "Basic", "Basic Og==", "Basic YTpi", "basic  YTo=", "Digest x", "Bearer a b", "\x00 \xff"} {
		f.Add([]byte(seed))
	}
	registry, err := access.New(newFake(), access.Options{AdminToken: adminToken})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, shown []byte) {
		before := string(shown)
		token, ok := tokenIn(shown)
		assert.Equal(t, before, string(shown))
		assert.Equal(t, ok, len(token) > 0)
		if ok && string(token) != adminToken {
			who, err := registry.Token(token)
			assert.Nil(t, who)
			assert.Equal(t, protocol.CodeUnauthorized, err.Code)
		}
	})
}
