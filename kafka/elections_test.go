package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/protocol"
)

// An election is answered by what the server does by itself.
func TestElections(t *testing.T) {
	leader := func(id int) *int { return &id }
	for _, c := range []struct {
		why       string
		leader    *int
		inSync    []int
		preferred bool
		want      int16
	}{
		{"it leads", leader(2), []int{1, 2}, true, errElectionNotNeeded},
		{"it is on its way", leader(1), []int{1, 2}, true, errNone},
		{"it lacks records", leader(1), []int{1, 3}, true, errPreferredNotAvailable},
		{"nobody leads", nil, []int{1}, true, errPreferredNotAvailable},
		{"any leader will do", leader(1), []int{1, 3}, false, errElectionNotNeeded},
		{"nobody may lead", nil, nil, false, errEligibleNotAvailable},
	} {
		code, _ := election(&protocol.PartitionInfo{LeaderBrokerID: c.leader, Replicas: []int{2, 1, 3}, InSync: c.inSync}, c.preferred)
		assert.Equal(t, c.want, code, c.why)
	}
}
