package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const senderSecret = "what-only-the-sender-knows"

// pushSource are the settings of a source that is signed as GitHub does.
const pushSource = `{"topic":"pushes","key_json":"/ref","id_header":"X-GitHub-Delivery","keep":["X-GitHub-Event"],` +
	`"verify":{"scheme":"github","secret":"` + senderSecret + `"}}`

func signature(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// push are the headers of a delivery that GitHub would send.
func push(id, secret, body string) []string {
	return []string{
		"Content-Type", "application/json", "X-GitHub-Event", "push", "X-GitHub-Delivery", id,
		"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(signature([]byte(secret), body)),
	}
}

// A source that one node has made lets its sender in at every node, by the signature and
// without a token, to write each delivery once; its secret comes back nowhere.
func TestSourcesOfAFleet(t *testing.T) {
	t.Parallel()
	f := prepareNodes(t, 3)
	for _, s := range f.nodes {
		s.env = append(s.env, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret, "OTTLA_AUDIT_FILE=-", "OTTLA_LOG_LEVEL=debug")
		s.launch()
	}
	f.waitReady()
	f.nodes[0].post("/topic", `{"name":"pushes","partitions":1}`, admin...).want(201)
	team := f.nodes[0].token("team", `[{"do":["admin"],"topics":"pushes"}]`)
	other := f.nodes[0].token("other", `[{"do":["read","write","admin"],"topics":"other"},{"do":["write"],"topics":"pushes"}]`)

	f.nodes[0].call("PUT", "/sources/hub", pushSource, other...).wantError(403, "forbidden")
	f.nodes[0].call("PUT", "/sources/hub", pushSource).wantError(401, "unauthorized")
	created := f.nodes[0].call("PUT", "/sources/hub", pushSource, team...).want(201)
	f.nodes[1].call("PUT", "/sources/hub", `{"topic":"other","verify":{"scheme":"github","secret":"x"}}`, other...).wantError(403, "forbidden")
	f.nodes[1].call("DELETE", "/sources/hub", nil, other...).wantError(403, "forbidden")

	const body = `{"ref":"main"}`
	var first, again produced
	f.nodes[1].post("/sources/hub", body, push("1", senderSecret, body)...).want(200).as(&first)
	f.nodes[2].post("/sources/hub", body, push("1", senderSecret, body)...).want(200).as(&again)
	assert.True(t, again.Duplicate)
	assert.Equal(t, first.Offset, again.Offset)
	f.nodes[2].post("/sources/hub", body, push("2", "another", body)...).wantError(401, "invalid_signature")
	f.nodes[2].post("/sources/hub", body+" ", push("2", senderSecret, body)...).wantError(401, "invalid_signature")
	f.nodes[2].post("/sources/none", body, push("2", senderSecret, body)...).wantError(404, "source_not_found")
	f.nodes[2].kill()
	f.nodes[2].launch()
	f.waitReady()
	f.nodes[2].post("/sources/hub", body, push("2", senderSecret, body)...).want(200)
	var got fetched
	f.nodes[0].get("/topic/pushes/partitions/0/records?offset=0", admin...).want(200).decode(&got)
	require.Len(t, got.Records, 2)
	assert.JSONEq(t, `"main"`, string(got.Records[0].Key))
	assert.Equal(t, map[string]string{"content-type": "application/json", "x-github-event": "push"}, got.Records[0].Headers)

	for i, s := range f.nodes {
		assert.JSONEq(t, string(created.body), string(s.get("/sources/hub", team...).want(200).body))
		for _, path := range []string{
			"/sources", "/sources/hub", "/topic/__cluster_metadata/partitions/0/records?cluster=default&max_records=10000&offset=0",
			"/events?topic=__cluster_metadata&cluster=default&max_records=10000&group=g" + strconv.Itoa(i),
		} {
			a := s.get(path, admin...).want(200)
			assert.Contains(t, string(a.body), "github", path)
			assert.NotContains(t, string(a.body), senderSecret, path)
		}
	}
	f.nodes[0].call("DELETE", "/cluster/default", nil, admin...).wantError(422, "not_allowed")
	f.nodes[2].call("DELETE", "/sources/hub", nil, team...).want(204)
	for i, s := range f.nodes {
		s.eventually(waitTimeout, fmt.Sprintf("node %d has no source", i+1), func() error {
			a, err := s.try("POST", "/sources/hub", body, push("3", senderSecret, body)...)
			if err == nil && a.status != http.StatusNotFound {
				err = fmt.Errorf("%d %s", a.status, a.body)
			}
			return err
		})
		log := s.stderr.tail(1 << 24)
		assert.NotContains(t, log, senderSecret)
	}
	assert.Contains(t, f.nodes[0].stderr.tail(1<<24), `"path":"/sources/hub"`)
}

// Each scheme takes what is signed as it says and nothing older, also after a restart;
// limits.sources bounds the sources.
func TestSchemesOfSources(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_LIMITS_SOURCES=3")
	put := func(name, verify string) *answer {
		return s.call("PUT", "/sources/"+name, `{"topic":"in","verify":`+verify+`}`)
	}
	put("svc", `{"scheme":"standard-webhooks","secret":"whsec_`+base64.StdEncoding.EncodeToString([]byte("standard"))+`"}`).want(201)
	put("pay", `{"scheme":"stripe","secret":"whsec_pay"}`).want(201)
	put("own", `{"scheme":"hmac-sha256","header":"X-Signature","secret":"own"}`).want(201)
	put("more", `{"scheme":"github","secret":"x"}`).wantError(422, "too_many_sources")
	put("own", `{"scheme":"hmac-sha256","header":"X-Signature","secret":"own"}`).want(200)

	const body = `{"n":1}`
	for age, status := range map[time.Duration]int{0: 200, 10 * time.Minute: 401, -10 * time.Minute: 401} {
		at := strconv.FormatInt(time.Now().Add(-age).Unix(), 10)
		s.post("/sources/svc", body, "webhook-id", "msg_1", "webhook-timestamp", at,
			"webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(signature([]byte("standard"), "msg_1."+at+"."+body))).want(status)
		s.post("/sources/pay", body, "Stripe-Signature", "t="+at+",v1="+hex.EncodeToString(signature([]byte("whsec_pay"), at+"."+body))).want(status)
	}
	s.post("/sources/own", body, "X-Signature", base64.StdEncoding.EncodeToString(signature([]byte("own"), body))).want(200)
	s.post("/sources/own", body).wantError(401, "invalid_signature")
	s.stop()
	s.again()
	s.post("/sources/own", body, "X-Signature", hex.EncodeToString(signature([]byte("own"), body))).want(200)
	count := 0
	for p := range 3 {
		var got fetched
		s.get(fmt.Sprintf("/topic/in/partitions/%d/records?offset=0", p)).want(200).decode(&got)
		count += len(got.Records)
	}
	assert.Equal(t, 4, count)
}
