package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Members share the partitions of a group, one that dies is replaced, and what was
// committed is what HTTP shows; consumers of HTTP cannot join them, nor they those.
func TestKafkaGroups(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.topic("t", 6)
	member := func(opts ...kgo.Opt) *kgo.Client {
		return s.kafka(append([]kgo.Opt{
			kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.SessionTimeout(3 * time.Second), kgo.HeartbeatInterval(200 * time.Millisecond),
			kgo.RebalanceTimeout(5 * time.Second), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		}, opts...)...)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	consume := func(ctx context.Context, cl *kgo.Client) {
		for ctx.Err() == nil {
			fs := cl.PollFetches(ctx)
			fs.EachRecord(func(r *kgo.Record) {
				mu.Lock()
				seen[string(r.Value)]++
				mu.Unlock()
			})
			_ = cl.CommitUncommittedOffsets(ctx)
		}
	}
	produce := func(from, n int) {
		cl := s.kafka()
		for i := from; i < from+n; i++ {
			require.NoError(t, cl.ProduceSync(s.context(), &kgo.Record{Topic: "t", Key: []byte(strconv.Itoa(i)), Value: []byte(strconv.Itoa(i))}).FirstErr())
		}
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a, b := member(), member(kgo.InstanceID("static-b"))
	go consume(ctx, a)
	go consume(ctx, b)
	produce(0, 100)
	s.eventually(waitTimeout, "all is consumed", func() error { return short(count(), 100) })
	s.eventually(waitTimeout, "both have a share", func() error {
		var g struct {
			State, Protocol string
			Members         []struct {
				MemberID   string `json:"member_id"`
				Assignment []any
			}
		}
		s.get("/groups/g").want(http.StatusOK).decode(&g)
		if g.State != "stable" || g.Protocol != "kafka" || len(g.Members) != 2 || len(g.Members[0].Assignment) != 3 {
			return fmt.Errorf("%+v", g)
		}
		return nil
	})
	refused := s.get("/events?topic=t&group=g&timeout_ms=0")
	refused.wantStatus(http.StatusConflict)
	assert.Contains(t, string(refused.body), "group_protocol")

	a.Close() // it leaves
	produce(100, 50)
	s.eventually(waitTimeout, "the other has all", func() error { return short(count(), 150) })

	s.kill()
	s.again()
	produce(150, 50)
	s.eventually(waitTimeout, "it goes on after a kill", func() error { return short(count(), 200) })
	s.eventually(waitTimeout, "everything is committed", func() error {
		var o struct{ Offsets []struct{ Lag int64 } }
		s.get("/offset?group=g&topic=t").want(http.StatusOK).decode(&o)
		for _, p := range o.Offsets {
			if p.Lag != 0 {
				return fmt.Errorf("%+v", o)
			}
		}
		return nil
	})
	cancel()
	b.Close()
	s.call(http.MethodDelete, "/groups/g", nil).want(http.StatusConflict) // a static member does not leave
	s.eventually(waitTimeout, "its session ends", func() error {
		if a := s.call(http.MethodDelete, "/groups/g", nil); a.status != http.StatusNoContent {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})

	s.poll("topic=t", "group=http", "consumer_id=1", "auto_commit=true", "timeout_ms=0", "session_timeout_ms=60000")
	cl := s.kafka()
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = "http", 6000, 6000, "consumer"
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	assert.Equal(t, kerr.InconsistentGroupProtocol.Code, ask[*kmsg.JoinGroupResponse](s, cl, join).ErrorCode)
	described := ask[*kmsg.DescribeGroupsResponse](s, cl, &kmsg.DescribeGroupsRequest{Groups: []string{"http"}}).Groups[0]
	assert.Equal(t, "Stable", described.State)
	require.Len(t, described.Members, 1)
	assert.Equal(t, "consumer-1", described.Members[0].MemberID)
	assert.Equal(t, "Dead", ask[*kmsg.DescribeGroupsResponse](s, cl, &kmsg.DescribeGroupsRequest{Groups: []string{"nobody"}}).Groups[0].State)
}

func short(got, want int) error {
	if got < want {
		return fmt.Errorf("%d of %d", got, want)
	}
	return nil
}
