package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// groupOf is what a list of groups says of one.
func (s *server) groupOf(name string) (state string, members, lapsed int) {
	s.t.Helper()
	type row struct {
		Group, State    string
		Members         []json.RawMessage
		LapsedMembers   []json.RawMessage `json:"lapsed_members"`
		Generation, Lag int
	}
	var list struct{ Groups []row }
	s.get("/groups").want(200).decode(&list)
	for _, g := range list.Groups {
		if g.Group == name {
			return g.State, len(g.Members), len(g.LapsedMembers)
		}
	}
	require.Fail(s.t, "the group is not listed", name)
	return "", 0, 0
}

// empties waits until nobody is in a group any more, as far as lists say.
func (s *server) empties(name string) {
	s.t.Helper()
	s.eventually(waitTimeout, "the group is empty", func() error {
		if state, members, lapsed := s.groupOf(name); state != "empty" || members != 0 || lapsed != 1 {
			return fmt.Errorf("%s, %d members, %d lapsed", state, members, lapsed)
		}
		return nil
	})
}

// A group of which nobody is left is listed as empty, without members, and stays so
// when its coordinator moves or starts again: nobody comes back to life by that. Who is
// alive stays, and what is lapsed may come back.
func TestGroupsAreListedTruthfully(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 2)
	s.produce("t", object{"partition": 0, "value": 1})
	s.poll("topic=t", "group=gone", "consumer_id=1", "session_timeout_ms=5000", "timeout_ms=0")
	s.poll("topic=t", "group=here", "consumer_id=2", "session_timeout_ms=60000", "timeout_ms=0")
	s.empties("gone")
	assert.Regexp(t, `(?m)^ottla_group_members\{cluster="default",group="gone"\} 0$`, string(s.get("/metrics").body))
	assert.Regexp(t, `(?m)^default +gone +empty +1 +0 +0$`, s.must("", "group", "list"))
	assert.Contains(t, s.must("", "group", "describe", "gone"), "lease expired at")
	assert.Equal(t, "empty", s.get("/groups/gone").want(200).object()["state"])
	s.kill()
	s.again()
	for range 2 {
		state, members, lapsed := s.groupOf("gone")
		assert.Equal(t, "empty 0 1", fmt.Sprintf("%s %d %d", state, members, lapsed), "the coordinator does not know more than before")
		state, members, lapsed = s.groupOf("here")
		assert.Equal(t, "stable 1 0", fmt.Sprintf("%s %d %d", state, members, lapsed))
		for _, broker := range []int{1, 2} { // the coordinators move
			s.setBroker(broker, "stop", "stopped")
			s.setBroker(broker, "start", "running")
		}
	}
	s.post("/offset", `{"group":"gone","consumer_id":1,"offsets":[{"topic":"t","partition":0,"offset":1}],"force":true}`).want(200)
	state, members, _ := s.groupOf("gone")
	assert.Equal(t, "stable 1", fmt.Sprintf("%s %d", state, members), "who commits is alive")
	s.kill()
	s.again()
	state, members, _ = s.groupOf("gone")
	assert.Equal(t, "stable 1", fmt.Sprintf("%s %d", state, members), "and stays so")
	s.empties("gone")
	s.poll("topic=t", "group=gone", "consumer_id=1", "session_timeout_ms=60000", "timeout_ms=0")
	s.kill()
	s.again()
	state, members, _ = s.groupOf("gone")
	assert.Equal(t, "stable 1", fmt.Sprintf("%s %d", state, members))
}

// The same in a fleet of which the coordinator's node dies.
func TestGroupsOfAFleetAreListedTruthfully(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	s := f.nodes[0]
	s.topic("t", 2)
	for i := range 12 { // over all coordinators
		s.poll("topic=t", fmt.Sprintf("group=gone-%d", i), "consumer_id=1", "session_timeout_ms=1000", "timeout_ms=0")
		s.poll("topic=t", fmt.Sprintf("group=here-%d", i), "consumer_id=2", "session_timeout_ms=300000", "timeout_ms=0")
	}
	for i := range 12 {
		s.empties(fmt.Sprintf("gone-%d", i))
	}
	for _, dead := range []int{1, 2} {
		f.nodes[dead].kill()
		s.eventually(waitTimeout, "the others coordinate", func() error {
			a, err := s.try("GET", "/groups", nil)
			if err == nil && a.status != 200 {
				err = fmt.Errorf("%d %s", a.status, a.body)
			}
			return err
		})
		for i := range 12 {
			state, members, lapsed := s.groupOf(fmt.Sprintf("gone-%d", i))
			assert.Equal(t, "empty 0 1", fmt.Sprintf("%s %d %d", state, members, lapsed))
			state, members, lapsed = s.groupOf(fmt.Sprintf("here-%d", i))
			assert.Equal(t, "stable 1 0", fmt.Sprintf("%s %d %d", state, members, lapsed))
		}
		f.nodes[dead].launch()
		f.waitReady()
	}
}
