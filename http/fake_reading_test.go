package http

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"ottla/protocol"
)

// fakeReadings is what a fakeBackend knows of its readings.
type fakeReadings struct {
	readings   []*protocol.ReadingRequest // seen by OpenReading
	feeds      int                        // times that OpenReading was called for streams that wait together
	readingErr *protocol.Error            // of every look
	next       func(look protocol.ReadingLook) (*protocol.ReadingReply, *protocol.Error)
}

// fakeReading reads all partitions of a topic; its cursor is the number of records
// that it has read of the first one.
type fakeReading struct {
	f   *fakeBackend
	req *protocol.ReadingRequest
	at  []int
}

func (f *fakeBackend) OpenReading(req *protocol.ReadingRequest) (protocol.Reading, *protocol.Error) {
	r := &fakeReading{f: f, req: req, at: make([]int, req.Topic.Partitions)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if req.Uncounted {
		f.feeds++
	} else {
		f.readings = append(f.readings, req)
	}
	if req.After != "" {
		n, err := strconv.Atoi(req.After)
		if err != nil {
			return nil, protocol.Errorf(protocol.CodeInvalidCursor, "not a cursor")
		}
		r.at[0] = n
	}
	return r, nil
}

func (f *fakeBackend) StreamEnded(_, group string, id protocol.ConsumerID, number uint64) {
	f.ended <- fmt.Sprintf("%s %d %d", group, id, number)
}

// failReadings makes every look of a reading fail.
func (f *fakeBackend) failReadings(err *protocol.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readingErr = err
	close(f.wake)
	f.wake = make(chan struct{})
}

func (r *fakeReading) Cursor() string { return strconv.Itoa(r.at[0]) }

func (r *fakeReading) Close() {}

func (r *fakeReading) Copies(*protocol.ReadingReply) func(int) { return func(int) {} }

func (r *fakeReading) Next(look protocol.ReadingLook) (*protocol.ReadingReply, *protocol.Error) {
	if r.f.next != nil {
		return r.f.next(look)
	}
	timeout := time.After(look.Timeout)
	for {
		r.f.mu.Lock()
		if err := r.f.readingErr; err != nil {
			r.f.mu.Unlock()
			return nil, err
		}
		wake, reply := r.f.wake, &protocol.ReadingReply{}
		var ends []int
		for p, log := range r.f.topics[r.req.Topic.Name].partitions {
			end := len(log)
			ends = append(ends, end)
			if bound, err := strconv.Atoi(look.UpTo); err == nil {
				end = min(end, bound)
			}
			for ; r.at[p] < end; r.at[p]++ {
				cursor := strconv.Itoa(r.at[0] + 1)
				reply.Count++
				if look.Sink != nil {
					look.Sink.TakeAt(&log[r.at[p]], []byte(cursor))
					continue
				}
				reply.Records = append(reply.Records, log[r.at[p]])
				reply.Cursors = append(reply.Cursors, cursor)
			}
		}
		reply.AtEnd = slices.Equal(r.at, ends)
		r.f.mu.Unlock()
		if reply.Count > 0 {
			return reply, nil
		}
		select {
		case <-wake:
		case <-timeout:
			return reply, nil
		case <-r.req.Done:
			return reply, nil
		case <-time.After(time.Millisecond):
			if r.req.Gone != nil && r.req.Gone() {
				return reply, nil
			}
		}
	}
}

func (f *fakeBackend) Metrics() *protocol.Metrics { return &f.metrics }

func (f *fakeBackend) Overview() *protocol.Overview {
	return &protocol.Overview{
		Status: protocol.StatusDegraded, Health: "Broker 2 of cluster \"default\" is stopped.",
		Problems: []protocol.Problem{{
			Severity: protocol.SeverityWarning, Code: "under_replicated", Message: "m", Cluster: "default", Broker: 2, Count: 1,
			Partitions: []protocol.PartitionStatus{{Cluster: "default", Topic: "t", Partition: 1, Reason: "r"}},
		}},
		Rates:    []protocol.Rate{{Timestamp: 60_000, ProducedRecords: 1.5}},
		Clusters: []protocol.ClusterOverview{{Name: "default", Brokers: []protocol.BrokerOverview{{ID: 1, State: protocol.BrokerRunning}}}},
		Lagging:  []protocol.GroupMetrics{{Cluster: "default", Group: "g", Members: 1, Lag: 7}},
	}
}

func (f *fakeBackend) Placed(t *protocol.Topic, _ *protocol.PlaceQuestion, _ time.Time) (protocol.Placement, bool, *protocol.Error) {
	return t.Placement(), false, nil
}

func fakeCluster(name string) protocol.ClusterInfo {
	return protocol.ClusterInfo{ID: "c1", Name: name, NumBrokers: 3, LogDirectory: name, Partitions: 3, ReplicationFactor: 3, Fsync: "always"}
}

func fakeTopicInfo(name string) *protocol.TopicInfo {
	return &protocol.TopicInfo{ID: "t1", Name: name, Cluster: "default", CleanupPolicy: "delete"}
}

func (f *fakeBackend) Topics(_ string, internal bool) ([]protocol.TopicInfo, *protocol.Error) {
	liked := fakeTopicInfo("liked")
	liked.Partitions = []protocol.PartitionInfo{{Number: 0}, {Number: 1}}
	topics := []protocol.TopicInfo{*liked}
	if internal {
		offsets := fakeTopicInfo(protocol.OffsetsTopic)
		offsets.ID = "t0"
		topics = append(topics, *offsets)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.topics {
		if !protocol.IsInternalTopic(name) && name != "liked" {
			topics = append(topics, *fakeTopicInfo(name))
		}
	}
	return topics, nil
}
