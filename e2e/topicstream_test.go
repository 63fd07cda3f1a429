package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nothingBehind checks that nobody has joined or committed anything.
func (s *server) nothingBehind() {
	s.t.Helper()
	assert.Empty(s.t, s.names("/groups", "groups", "group"))
	assert.JSONEq(s.t, `{"offset_commitments":[]}`, s.text("/offset_commitments"))
	assert.Zero(s.t, s.offsetsEnds(), "records in __consumer_offsets")
}

// A stream of a topic that breaks off anywhere goes on exactly behind the last id,
// over partitions that are added, brokers that stop and a restart of the server, and
// nothing of it is left there.
func TestATopicStreamGoesOnOverEverything(t *testing.T) {
	t.Parallel()
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		t.Run(accept, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.topic("w", 2)
			seen := map[string]int{}
			last, sent := "", 0
			read := func(n int, between func()) {
				t.Helper()
				var headers []string
				if last != "" {
					headers = []string{"Last-Event-ID", last}
				}
				in, header, end := s.stream(accept, "/topic/w/stream", headers...)
				defer end()
				assert.Empty(t, header.Get("Ottla-Consumer-Id"))
				between()
				for range n {
					var v string
					v, last = nextValue(t, accept, in)
					seen[v]++
					require.Equal(t, 1, seen[v], "%s came twice", v)
				}
			}
			produce := func(n, partitions int) {
				t.Helper()
				for range n {
					s.produce("w", object{"value": sent, "partition": sent % partitions})
					sent++
				}
			}
			produce(10, 2)
			read(7, func() {})
			read(5, func() { // the others of the first, and two of the new ones
				s.call(http.MethodPatch, "/topic/w", object{"partitions": 3}).want(http.StatusOK)
				produce(6, 3)
			})
			read(10, func() {
				s.setBroker(2, "stop", "stopped")
				produce(6, 3)
				s.setBroker(2, "start", "running")
				s.setBroker(1, "stop", "stopped")
			})
			s.setBroker(1, "start", "running")
			s.nothingBehind()
			s.stop()
			s.again()
			read(3, func() { produce(3, 3) })
			assert.Len(t, seen, sent)
			s.nothingBehind()
		})
	}
}

// What is produced while a partition has no leader anywhere cannot be; what comes
// after it is not missed by who waits at the end.
func TestATopicStreamWaitsForALeader(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/topic", object{"name": "single", "partitions": 3, "replication_factor": 1}).want(http.StatusCreated)
	s.post("/cluster/default/brokers/2/stop", nil).want(http.StatusOK)
	in, _, _ := s.stream("text/event-stream", "/topic/single/stream?from=latest")
	s.post("/cluster/default/brokers/2/start", object{}).want(http.StatusOK)
	got := map[int]bool{}
	for p := range 3 {
		s.produce("single", object{"partition": p, "value": p})
	}
	for range 3 {
		got[nextRecord(t, in).Partition] = true
	}
	assert.Len(t, got, 3)
}

func TestATopicStreamOfOneKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("k", 3)
	for i := range 300 {
		s.post("/events?acks=none", object{"topic": "k", "key": fmt.Sprint("user-", i%10), "value": i}).want(http.StatusAccepted)
	}
	in, _, _ := s.stream("text/event-stream", "/topic/k/stream?key=user-7")
	for range 30 {
		assert.JSONEq(t, `"user-7"`, string(nextRecord(t, in).Key))
	}
}

// Retention has removed what a stream asks for: it says so and goes on.
func TestATopicStreamTellsOfItsGap(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=100ms")
	s.post("/topic", object{"name": "short", "partitions": 1, "segment_bytes": 65536, "retention_bytes": 65536}).want(http.StatusCreated)
	for range 60 {
		s.produce("short", object{"value": fmt.Sprintf("%05000d", 1)})
	}
	s.eventually(waitTimeout, "old records are removed", func() error {
		var o struct{ Earliest int64 }
		s.get("/topic/short/partitions/0/offsets").as(&o)
		if o.Earliest == 0 {
			return fmt.Errorf("earliest is still 0")
		}
		return nil
	})
	in, _, _ := s.stream("text/event-stream", "/topic/short/stream?partition=0&offset=0")
	m := nextEvent(t, in)
	require.Equal(t, "gap", m.event)
	var gap struct{ Partition, Asked, Earliest int64 }
	require.NoError(t, json.Unmarshal([]byte(m.data), &gap))
	assert.Zero(t, gap.Asked)
	assert.Positive(t, gap.Earliest)
	assert.GreaterOrEqual(t, nextRecord(t, in).Offset, gap.Earliest)
}

// Thirty readers at once, and writers: every reader gets every record once and in
// the order of its partition.
func TestManyTopicStreams(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("m", 3)
	const readers, records = 30, 300
	var all sync.WaitGroup
	for range readers {
		in, _, _ := s.stream("text/event-stream", "/topic/m/stream?from=latest")
		all.Go(func() {
			next := map[int]int64{}
			for range records {
				r := nextRecord(t, in)
				if !assert.Equal(t, next[r.Partition], r.Offset) {
					return
				}
				next[r.Partition]++
			}
		})
	}
	for i := range records {
		s.post("/events?acks=none", object{"topic": "m", "value": i}).want(http.StatusAccepted)
	}
	all.Wait()
	s.nothingBehind()
}

// A reader of the output that has enough ends the command, and it leaves nothing
// behind, however it ends.
func TestConsumeLeavesNothingBehindWhenItsPipeBreaks(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("p", 2)
	for i := range 500 {
		s.post("/events?acks=none", object{"topic": "p", "value": fmt.Sprintf("%01000d", i)}).want(http.StatusAccepted)
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	for _, end := range []string{"pipe", "kill"} {
		cmd := exec.CommandContext(ctx, binary, "consume", "p", "--server", s.base, "--follow")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		require.True(t, bufio.NewScanner(out).Scan())
		if end == "kill" {
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
		} else {
			require.NoError(t, out.Close())
			s.produce("p", object{"value": 1, "partition": 0})
			s.produce("p", object{"value": 1, "partition": 1})
			require.NoError(t, cmd.Wait())
		}
		s.nothingBehind()
	}
	out := s.must("", "consume", "p", "--values")
	assert.Equal(t, 500*1001+2*2, len(out)) // a message with all of out would be too long
	s.nothingBehind()
}
