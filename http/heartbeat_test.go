package http

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"ottla/protocol"
)

// Heartbeat knows consumer 7 of group g, in generation 2.
func (f *fakeBackend) Heartbeat(req *protocol.HeartbeatRequest) (*protocol.HeartbeatReply, *protocol.Error) {
	switch {
	case req.Group != "g" || req.ConsumerID != 7:
		return nil, protocol.Errorf(protocol.CodeUnknownMember, "consumer %d is not a member of group %q", req.ConsumerID, req.Group)
	case req.Generation != nil && *req.Generation != 2:
		return nil, protocol.Errorf(protocol.CodeStaleGeneration, "generation %d is not the current one", *req.Generation)
	}
	reply := &protocol.HeartbeatReply{Generation: 2, LeaseMs: 10_000}
	if req.SessionTimeout > 0 {
		reply.LeaseMs = req.SessionTimeout.Milliseconds()
		reply.Assignment = []protocol.TopicPartition{{Topic: "t", Partition: 1}}
	}
	return reply, nil
}

func TestHeartbeat(t *testing.T) {
	h := start(t, Options{MaxSessionTimeout: time.Minute})
	a := h.do("POST", "/groups/g/members/7/heartbeat", "")
	assert.Equal(t, 200, a.status)
	assert.JSONEq(t, `{"generation":2,"lease_ms":10000,"assignment":[]}`, a.body)
	a = h.do("POST", "/groups/g/members/7/heartbeat?cluster=default", `{"session_timeout_ms":30000,"generation":2}`)
	assert.JSONEq(t, `{"generation":2,"lease_ms":30000,"assignment":[{"topic":"t","partition":1}]}`, a.body)
	wantOK(t, h.do("POST", "/groups/g/members/7/heartbeat", `{}`), 200)

	checkRefusals(t, Options{MaxSessionTimeout: time.Minute}, map[string]refusal{
		"unknown member": {"POST /groups/g/members/8/heartbeat", 404, "unknown_member", "8", nil},
		"old generation": {`POST /groups/g/members/7/heartbeat {"generation":1}`, 409, "stale_generation", "1", nil},
		"too long":       {`POST /groups/g/members/7/heartbeat {"session_timeout_ms":60001}`, 400, "limit_exceeded", "60000", nil},
		"none":           {`POST /groups/g/members/7/heartbeat {"session_timeout_ms":0}`, 400, "invalid_parameter", "session_timeout_ms", nil},
		"unknown field":  {`POST /groups/g/members/7/heartbeat {"lease":1}`, 400, "unknown_field", "lease", nil},
		"not an id":      {"POST /groups/g/members/x/heartbeat", 400, "invalid_parameter", "consumer_id", nil},
		"not JSON":       {"POST /groups/g/members/7/heartbeat x", 415, "unsupported_media_type", "", nil},
	})
	assert.Equal(t, 405, h.do("GET", "/groups/g/members/7/heartbeat", "").status)
}
