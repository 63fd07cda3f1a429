package http

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"ottla/protocol"
)

// fakeBackend keeps topics in memory: enough of a broker to test what the
// front end makes of requests and answers. Hooks replace single methods.
type fakeBackend struct {
	fakeTokens
	mu     sync.Mutex
	topics map[string]*fakeTopic
	wake   chan struct{} // closed and replaced at each append
	read   map[string]protocol.Offset

	auto bool

	deleteTopic func(name string) *protocol.Error // nil: nothing happens
	reqs        []*protocol.ProduceRequest        // seen by Produce
	polls       []*protocol.PollRequest           // seen by Poll
	fakeReadings
	parked   chan struct{} // receives when a read begins to wait, if not nil
	departed chan struct{} // receives when the client of one leaves, if not nil
	produce  func(reqs []*protocol.ProduceRequest, deadline time.Time)
	poll     func(req *protocol.PollRequest, done <-chan struct{}) (*protocol.PollReply, *protocol.Error)
	commit   func(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error)
	seek     func(req *protocol.SeekRequest)
	ready    protocol.Readiness
	metrics  protocol.Metrics
	clusters map[string]*protocol.ClusterSpec
	specs    map[string]*protocol.TopicSpec
	left     chan protocol.ConsumerID
	ended    chan string // streams, by StreamEnded
	node     uint64      // of a fleet
	drained  bool        // a node of it
}

type fakeTopic struct {
	topic      *protocol.Topic
	partitions [][]protocol.Record
}

func newFake() *fakeBackend {
	return &fakeBackend{
		topics: map[string]*fakeTopic{}, wake: make(chan struct{}), read: map[string]protocol.Offset{}, auto: true,
		ready: protocol.Readiness{Ready: true}, clusters: map[string]*protocol.ClusterSpec{},
		specs: map[string]*protocol.TopicSpec{}, left: make(chan protocol.ConsumerID, 10), ended: make(chan string, 100),
	}
}

func (f *fakeBackend) add(name string, partitions int) *fakeTopic {
	t := &fakeTopic{
		topic: &protocol.Topic{
			Cluster: "default", Name: name, ID: "id-" + name, Partitions: partitions,
			Internal: protocol.IsInternalTopic(name), RoundRobin: new(protocol.Counter),
		},
		partitions: make([][]protocol.Record, partitions),
	}
	f.topics[name] = t
	return t
}

func (f *fakeBackend) Readiness() protocol.Readiness { return f.ready }

func (f *fakeBackend) LookupTopic(cluster, topic string, create bool, _ time.Time) (*protocol.Topic, *protocol.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cluster != "" && cluster != "default" {
		return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", cluster)
	}
	if t := f.topics[topic]; t != nil {
		return t.topic, nil
	}
	if !create || !f.auto {
		return nil, protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", topic)
	}
	return f.add(topic, 3).topic, nil
}

func (f *fakeBackend) Produce(reqs []*protocol.ProduceRequest, deadline time.Time) {
	if f.produce != nil {
		f.produce(reqs, deadline)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, req := range reqs {
		f.reqs = append(f.reqs, req)
		log := &f.topics[req.Topic.Name].partitions[req.Partition]
		base := protocol.Offset(len(*log))
		*log = append(*log, parseLines(req.Lines.AppendNumbered(nil, base))...)
		req.Result.BaseOffset = base
	}
	close(f.wake)
	f.wake = make(chan struct{})
}

// parseLines reads log lines back, so that clients get only what a line can say.
func parseLines(text []byte) []protocol.Record {
	var records []protocol.Record
	for _, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		tokens := splitTokens(line)
		if len(tokens) < 8 || len(tokens) > 9 {
			panic(fmt.Sprintf("line with %d tokens: %q", len(tokens), line))
		}
		at, err := time.Parse("2006-01-02 15:04:05.000", string(tokens[0])+" "+string(tokens[1]))
		if err != nil {
			panic(err)
		}
		partition, err1 := strconv.Atoi(string(tokens[3]))
		offset, err2 := strconv.Atoi(string(tokens[4]))
		if err1 != nil || err2 != nil {
			panic(fmt.Sprintf("bad numbers: %q", line))
		}
		rec := protocol.Record{
			Topic: string(tokens[2]), Partition: partition, Offset: protocol.Offset(offset),
			Timestamp: at.UnixMilli(), Key: tokens[5], Value: tokens[6],
		}
		if len(tokens) == 9 {
			rec.Headers = tokens[8]
		}
		for _, token := range tokens[5:] {
			if string(token) == string(tokens[7]) {
				continue
			}
			if _, err := protocol.AppendTokenContent(nil, token); err != nil {
				panic(err)
			}
		}
		records = append(records, rec)
	}
	return records
}

// splitTokens splits at spaces outside of JSON strings.
func splitTokens(line []byte) (tokens [][]byte) {
	start, inString := 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case c == ' ' && !inString:
			tokens = append(tokens, line[start:i])
			start = i + 1
		}
	}
	return append(tokens, line[start:])
}

// fakeFetch is a read that waits at most once.
type fakeFetch struct {
	f      *fakeBackend
	req    *protocol.FetchRequest
	wake   chan struct{}
	waited bool
}

func (f *fakeBackend) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	return &fakeFetch{f: f, req: req}
}

func (p *fakeFetch) Advance() (*protocol.FetchReply, bool, *protocol.Error) {
	p.f.mu.Lock()
	p.wake = p.f.wake
	p.f.mu.Unlock()
	reply, err := p.f.fetch(p.req)
	waits := err == nil && reply.NextOffset == p.req.Offset && !p.waited && p.req.Timeout > 0
	return reply, waits, err
}

// Park resumes for any of the reasons to end a wait.
func (p *fakeFetch) Park(resume func()) {
	if p.req.Watch != nil {
		p.req.Left = p.req.Watch()
	}
	p.waited = true
	go p.wait(resume)
}

func (p *fakeFetch) Nudge() {}

func (p *fakeFetch) wait(resume func()) {
	defer resume()
	p.f.announce()
	select {
	case <-p.wake:
	case <-time.After(p.req.Timeout):
	case <-p.req.Done:
	case <-p.req.Left:
		if p.f.departed != nil {
			p.f.departed <- struct{}{}
		}
	}
}

func (f *fakeBackend) fetch(req *protocol.FetchRequest) (*protocol.FetchReply, *protocol.Error) {
	f.mu.Lock()
	log := f.topics[req.Topic.Name].partitions[req.Partition]
	f.mu.Unlock()
	reply := &protocol.FetchReply{HighWatermark: protocol.Offset(len(log)), NextOffset: req.Offset}
	for _, r := range log {
		after := req.Timestamp == nil && r.Offset >= req.Offset || req.Timestamp != nil && r.Timestamp >= *req.Timestamp
		if after && len(reply.Records) < req.MaxRecords {
			reply.Records = append(reply.Records, r)
			reply.NextOffset = r.Offset + 1
		}
	}
	if len(reply.Records) > 0 {
		records, err := within(req.Room, req.MaxBytes, reply.Records)
		if err != nil {
			return nil, err
		}
		reply.NextOffset = records[len(records)-1].Offset + 1
		reply.Records = handOver(req.Sink, records)
	}
	return reply, nil
}

// handOver gives records to the sink, if there is one, and overwrites their
// memory afterwards.
func handOver(sink protocol.RecordSink, records []protocol.Record) []protocol.Record {
	if sink == nil {
		return records
	}
	sink.Expect(100)
	var r protocol.Record
	for _, of := range records {
		r = of
		tokens := [][]byte{bytes.Clone(of.Key), bytes.Clone(of.Value), bytes.Clone(of.Headers)}
		r.Key, r.Value, r.Headers = tokens[0], tokens[1], tokens[2]
		sink.Take(&r)
		for _, token := range tokens {
			for i := range token {
				token[i] = '!'
			}
		}
	}
	return nil
}

// within returns as many records as the room allows.
func within(room protocol.Room, most int, records []protocol.Record) ([]protocol.Record, *protocol.Error) {
	most, err := room.Take(most)
	if err != nil {
		return nil, err
	}
	size, n := 0, 0
	for ; n < len(records) && (n == 0 || size <= most); n++ {
		size += len(records[n].Key) + len(records[n].Value) + 64
	}
	return records[:n], room.Keep(size)
}

func (f *fakeBackend) announce() {
	if f.parked != nil {
		f.parked <- struct{}{}
	}
}

func (f *fakeBackend) PartitionOffsets(t *protocol.Topic, p int) (earliest, latest protocol.Offset, err *protocol.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 0, protocol.Offset(len(f.topics[t.Name].partitions[p])), nil
}

// Poll reads all partitions of the topics; its cursor counts records of the
// topic's first partition.
func (f *fakeBackend) StartPoll(req *protocol.PollRequest, done <-chan struct{}) protocol.PendingPoll {
	return &fakePoll{f: f, req: req, done: done}
}

// fakePoll is a poll that waits at most once.
type fakePoll struct {
	f      *fakeBackend
	req    *protocol.PollRequest
	done   <-chan struct{}
	waited bool
}

func (p *fakePoll) Advance() (*protocol.PollReply, bool, *protocol.Error) {
	if !p.waited && p.req.Timeout > 0 {
		return nil, true, nil
	}
	reply, err := p.f.Poll(p.req, p.done)
	return reply, false, err
}

func (p *fakePoll) Park(resume func()) {
	p.waited = true
	if p.req.Watch != nil {
		p.req.Left = p.req.Watch()
	}
	resume()
}

func (p *fakePoll) Nudge() {}

func (f *fakeBackend) Poll(req *protocol.PollRequest, done <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
	copied := *req
	copied.Gone, copied.Room, copied.Sink, copied.Watch = nil, nil, nil, nil // they cannot be compared
	f.mu.Lock()
	f.polls = append(f.polls, &copied)
	f.mu.Unlock()
	if f.poll != nil {
		return f.poll(req, done)
	}
	reply := &protocol.PollReply{ConsumerID: req.ConsumerID, Group: req.Group, Generation: 1}
	if reply.ConsumerID == 0 {
		reply.ConsumerID = 77
	}
	if reply.Group == "" {
		reply.Group = fmt.Sprintf("consumer-%d", reply.ConsumerID)
	}
	timeout := time.After(req.Timeout)
	for {
		wake, err := f.collect(req, reply)
		if err != nil {
			return nil, err
		}
		if len(reply.Records) > 0 {
			reply.Records = handOver(req.Sink, reply.Records)
			return reply, nil
		}
		reply.TimedOut = true
		if req.Timeout == 0 {
			return reply, nil
		}
		f.announce()
		select {
		case <-wake:
			reply.TimedOut = false
		case <-timeout:
			return reply, nil
		case <-done:
			return reply, nil
		}
	}
}

func (f *fakeBackend) collect(req *protocol.PollRequest, reply *protocol.PollReply) (chan struct{}, *protocol.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range req.Topics {
		t := f.topics[name]
		if t == nil {
			t = f.add(name, 1)
		}
		for p, log := range t.partitions {
			at := fmt.Sprintf("%s/%s-%d", reply.Group, name, p)
			next := f.read[at]
			if req.After != "" {
				n, _ := strconv.Atoi(req.After)
				next = protocol.Offset(n)
			}
			if len(log[next:]) == 0 {
				continue
			}
			records, err := within(req.Room, req.MaxBytes, log[next:])
			if err != nil {
				return nil, err
			}
			for _, r := range records {
				reply.Records = append(reply.Records, r)
				if req.RecordCursors {
					reply.Cursors = append(reply.Cursors, strconv.Itoa(int(r.Offset)+1))
				}
				if req.AutoCommit {
					f.read[at] = r.Offset + 1
				}
				reply.Cursor = strconv.Itoa(int(r.Offset) + 1)
			}
		}
	}
	return f.wake, nil
}

func (f *fakeBackend) Commit(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error) {
	if f.commit != nil {
		return f.commit(req)
	}
	reply := &protocol.CommitReply{Group: req.Group, ConsumerID: req.ConsumerID}
	for _, o := range req.Offsets {
		reply.Offsets = append(reply.Offsets, protocol.CommittedEntry{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset})
	}
	return reply, nil
}

func (f *fakeBackend) Offsets(req *protocol.OffsetsRequest) ([]protocol.OffsetInfo, *protocol.Error) {
	if req.Group == "nobody" {
		return nil, protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", req.Group)
	}
	committed, owner := protocol.Offset(5), protocol.ConsumerID(7)
	return []protocol.OffsetInfo{
		{Topic: "liked", Partition: 0, Committed: &committed, End: new(protocol.Offset(9)), Lag: new(protocol.Offset(4)), Owner: &owner},
		{Topic: "liked", Partition: 1, End: new(protocol.Offset(3)), Lag: new(protocol.Offset(3))},
	}, nil
}

func (f *fakeBackend) Groups(string) ([]protocol.GroupInfo, *protocol.Error) {
	return []protocol.GroupInfo{{Group: "g", Cluster: "default", Mode: protocol.ModeStream, State: "stable", Generation: 2, Lag: 7}}, nil
}

func (f *fakeBackend) Group(_, group string) (*protocol.GroupInfo, *protocol.Error) {
	if group == "nobody" {
		return nil, protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", group)
	}
	return &protocol.GroupInfo{Group: group, Cluster: "default", Mode: protocol.ModeStream, State: "empty"}, nil
}

func (f *fakeBackend) DeleteGroup(_, group string) *protocol.Error {
	if group == "busy" {
		return protocol.Errorf(protocol.CodeGroupNotEmpty, "group %q has live members", group)
	}
	return nil
}

func (f *fakeBackend) LeaveGroup(_, _ string, id protocol.ConsumerID) *protocol.Error {
	f.left <- id
	return nil
}

func (f *fakeBackend) Seek(req *protocol.SeekRequest) ([]protocol.CommittedEntry, *protocol.Error) {
	f.seek(req)
	return nil, nil
}

func (f *fakeBackend) CreateCluster(_ context.Context, spec *protocol.ClusterSpec) (*protocol.ClusterInfo, bool, *protocol.Error) {
	_, exists := f.clusters[spec.Name]
	f.clusters[spec.Name] = spec
	info := fakeCluster(spec.Name)
	return &info, !exists, nil
}

func (f *fakeBackend) Clusters() ([]protocol.ClusterInfo, *protocol.Error) {
	info := fakeCluster("default")
	info.Brokers = []protocol.BrokerInfo{{ID: 1, Host: "127.0.0.1", Port: 8080, State: "running"}}
	return []protocol.ClusterInfo{info}, nil
}

func (f *fakeBackend) Cluster(name string) (*protocol.ClusterDetail, *protocol.Error) {
	return &protocol.ClusterDetail{ClusterInfo: fakeCluster(name)}, nil
}

func (f *fakeBackend) DeleteCluster(context.Context, string) *protocol.Error { return nil }

func (f *fakeBackend) StopBroker(_ context.Context, _ string, id int) (*protocol.BrokerInfo, *protocol.Error) {
	return &protocol.BrokerInfo{ID: id, State: "stopped"}, nil
}

func (f *fakeBackend) StartBroker(_ context.Context, _ string, id int) (*protocol.BrokerInfo, *protocol.Error) {
	return &protocol.BrokerInfo{ID: id, State: "running"}, nil
}

func (f *fakeBackend) CreateTopic(_ context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, bool, *protocol.Error) {
	_, exists := f.specs[spec.Name]
	f.specs[spec.Name] = spec
	return fakeTopicInfo(spec.Name), !exists, nil
}

func (f *fakeBackend) Producers(string) ([]protocol.ProducerInfo, *protocol.Error) {
	return []protocol.ProducerInfo{{Cluster: "default", Name: "key:order-7"}, {Cluster: "default", Name: "p/1"}}, nil
}

func (f *fakeBackend) Topic(_, name string) (*protocol.TopicInfo, *protocol.Error) {
	return fakeTopicInfo(name), nil
}

func (f *fakeBackend) AlterTopic(_ context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, *protocol.Error) {
	f.specs[spec.Name] = spec
	return fakeTopicInfo(spec.Name), nil
}

func (f *fakeBackend) DeleteTopic(_ context.Context, _, name string) *protocol.Error {
	if f.deleteTopic != nil {
		return f.deleteTopic(name)
	}
	return nil
}
