package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A token is valid at every node of a fleet, whichever has made it, and nowhere once it
// is deleted; also at a node that was away meanwhile.
func TestTokensOfAFleet(t *testing.T) {
	t.Parallel()
	f := prepareNodes(t, 3)
	for _, s := range f.nodes {
		s.env = append(s.env, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
		s.launch()
	}
	f.waitReady()
	everywhere := func(status int, headers []string, nodes ...*server) {
		t.Helper()
		for i, s := range nodes {
			s.eventually(waitTimeout, fmt.Sprintf("node %d answers %d", i+1, status), func() error {
				a, err := s.try("POST", "/events", `{"topic":"a","value":1}`, headers...)
				if err == nil && a.status != status {
					err = fmt.Errorf("%d %s", a.status, a.body)
				}
				return err
			})
		}
	}
	f.nodes[0].post("/topic", `{"name":"a"}`, admin...).want(201)
	team := f.nodes[1].token("team", `[{"do":["write"],"topics":"a"}]`)
	everywhere(200, team, f.nodes...)
	f.nodes[2].kill()
	f.nodes[0].call("PATCH", "/tokens/team", `{"allow":[{"do":["write"],"topics":"b"}]}`, admin...).want(200)
	everywhere(403, team, f.nodes[:2]...)
	f.nodes[2].launch()
	f.waitReady()
	everywhere(403, team, f.nodes...)
	var rotated struct{ Token string }
	f.nodes[1].post("/tokens/team/rotate", `{"overlap_ms":0}`, admin...).want(200).decode(&rotated)
	everywhere(401, team, f.nodes...)
	team = []string{"Authorization", "Bearer " + rotated.Token}
	everywhere(403, team, f.nodes...)
	f.nodes[2].call("DELETE", "/tokens/team", nil, admin...).want(204)
	everywhere(401, team, f.nodes...)
	assert.NotContains(t, f.nodes[0].stderr.tail(1<<20), team[1])
}
