package mirror

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// SourceOptions say how a Kafka cluster is reached.
type SourceOptions struct {
	Addresses      []string    // HOST:PORT of some of its brokers
	TLS            *tls.Config // nil: no TLS
	User, Password string      // of SASL; no user: none
	Mechanism      string      // one of Mechanisms
	Patience       time.Duration
}

// Mechanisms are the ways of SASL.
var Mechanisms = []string{"plain", "scram-sha-256", "scram-sha-512"}

// Source is a Kafka cluster.
type Source struct {
	cl       *kgo.Client
	patience time.Duration
}

// Dial makes a client of a Kafka cluster; nothing is sent yet. It must be closed.
func Dial(o SourceOptions) (*Source, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Addresses...), kgo.ClientID("ottla-mirror"),
		kgo.RequestRetries(8), kgo.RetryTimeout(o.Patience), kgo.MetadataMinAge(pause),
	}
	if o.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(o.TLS))
	}
	switch {
	case o.User == "":
	case o.Mechanism == "plain":
		opts = append(opts, kgo.SASL(plain.Auth{User: o.User, Pass: o.Password}.AsMechanism()))
	case o.Mechanism == "scram-sha-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: o.User, Pass: o.Password}.AsSha256Mechanism()))
	case o.Mechanism == "scram-sha-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: o.User, Pass: o.Password}.AsSha512Mechanism()))
	default:
		return nil, fmt.Errorf("%q is no mechanism of SASL that is known; these are: %s", o.Mechanism, strings.Join(Mechanisms, ", "))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	return &Source{cl: cl, patience: o.Patience}, nil
}

// Close closes the connections.
func (s *Source) Close() { s.cl.Close() }

// request sends a request to whom it concerns.
func request[P kmsg.Response](ctx context.Context, s *Source, req kmsg.Request) (P, error) {
	resp, err := s.cl.Request(ctx, req)
	if err != nil {
		var none P
		return none, fmt.Errorf("source: %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp.(P), nil
}

// sourceTopic is a topic of the source.
type sourceTopic struct {
	name    string
	id      [16]byte
	leaders []int32 // by partition
	starts  []int64
	ends    []int64 // the last stable ones
	config  map[string]string
}

// topics describes topics, or all of them that are not internal if there are no names.
// It returns the id of the cluster, too.
func (s *Source) topics(ctx context.Context, names []string) (cluster string, topics []*sourceTopic, err error) {
	req := kmsg.NewPtrMetadataRequest()
	if len(names) > 0 {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := request[*kmsg.MetadataResponse](ctx, s, req)
	if err != nil {
		return "", nil, err
	}
	if resp.ClusterID != nil {
		cluster = *resp.ClusterID
	}
	for i := range resp.Topics {
		from := &resp.Topics[i]
		if from.Topic == nil || len(names) == 0 && (from.IsInternal || strings.HasPrefix(*from.Topic, "__")) {
			continue
		}
		t := &sourceTopic{name: *from.Topic, id: from.TopicID, leaders: make([]int32, len(from.Partitions))}
		if err := kerr.ErrorForCode(from.ErrorCode); err != nil {
			return "", nil, fmt.Errorf("source: topic %s: %w", t.name, err)
		}
		for _, p := range from.Partitions {
			if int(p.Partition) >= len(t.leaders) {
				return "", nil, fmt.Errorf("source: topic %s has %d partitions, and one with number %d", t.name, len(t.leaders), p.Partition)
			}
			t.leaders[p.Partition] = p.Leader
		}
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b *sourceTopic) int { return strings.Compare(a.name, b.name) })
	return cluster, topics, nil
}

// bounds asks for the start and the last stable offset of each partition.
func (s *Source) bounds(ctx context.Context, t *sourceTopic) (err error) {
	if t.starts, err = s.offsets(ctx, t, -2); err == nil {
		t.ends, err = s.offsets(ctx, t, -1)
	}
	return err
}

func (s *Source) offsets(ctx context.Context, t *sourceTopic, timestamp int64) ([]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, 1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = t.name
	for n := range t.leaders {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = int32(n), timestamp, -1
		rt.Partitions = append(rt.Partitions, p)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := request[*kmsg.ListOffsetsResponse](ctx, s, req)
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("source: offsets of partition %d of topic %s: %w", p.Partition, t.name, err)
			}
			found[p.Partition] = p.Offset
		}
	}
	offsets := make([]int64, len(t.leaders))
	for n := range offsets {
		at, ok := found[int32(n)]
		if !ok {
			return nil, fmt.Errorf("source: it does not say what offsets partition %d of topic %s has", n, t.name)
		}
		offsets[n] = at
	}
	return offsets, nil
}

// configure asks for the settings of a topic.
func (s *Source) configure(ctx context.Context, t *sourceTopic) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, t.name
	r.ConfigNames = slices.Sorted(maps.Keys(settings))
	req.Resources = append(req.Resources, r)
	resp, err := request[*kmsg.DescribeConfigsResponse](ctx, s, req)
	if err != nil {
		return err
	}
	t.config = map[string]string{}
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return fmt.Errorf("source: settings of topic %s: %w", t.name, err)
		}
		for _, c := range r.Configs {
			if c.Value != nil {
				t.config[c.Name] = *c.Value
			}
		}
	}
	return nil
}

// fetchBytes is how much of a partition is asked for at once, as it is compressed.
const fetchBytes = 1 << 20

// errMoved says that a partition does not begin where it did: records were removed.
var errMoved = errors.New("the records were removed")

// fetch reads records of a partition from an offset on, and says at which offset to go on.
// Records of aborted transactions are left out. There are none at the end.
func (s *Source) fetch(ctx context.Context, t *sourceTopic, partition int, at int64) ([]*kgo.Record, int64, error) {
	leader, deadline := t.leaders[partition], time.Now().Add(s.patience)
	for {
		records, next, err := s.fetchFrom(ctx, t, leader, partition, at)
		switch {
		case err == nil:
			return records, next, nil
		case errors.Is(err, kerr.OffsetOutOfRange):
			return nil, at, errMoved
		case ctx.Err() != nil:
			return nil, at, ctx.Err()
		case !kerr.IsRetriable(err) && !errors.Is(err, errLost) || time.Now().After(deadline):
			return nil, at, fmt.Errorf("source: read from offset %d: %w", at, err)
		}
		if err := wait(ctx, pause); err != nil {
			return nil, at, err
		}
		if _, now, err := s.topics(ctx, []string{t.name}); err == nil && len(now) == 1 && partition < len(now[0].leaders) {
			if now[0].id != t.id {
				return nil, at, fmt.Errorf("source: topic %s was deleted, and there is another one of its name", t.name)
			}
			leader = now[0].leaders[partition]
		}
	}
}

// errLost is a request that was not answered.
var errLost = errors.New("no answer")

func (s *Source) fetchFrom(ctx context.Context, t *sourceTopic, leader int32, partition int, at int64) ([]*kgo.Record, int64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = -1, fetchBytes, 1, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = t.name, t.id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = int32(partition), at, fetchBytes, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := s.cl.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, at, fmt.Errorf("%w: %w", errLost, err)
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, at, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, at, fmt.Errorf("%w: it has not got the partition in it", errLost)
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: t.name, Partition: int32(partition),
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	return got.Records, next, got.Err
}

// groups lists the groups.
func (s *Source) groups(ctx context.Context) ([]string, error) {
	resp, err := request[*kmsg.ListGroupsResponse](ctx, s, kmsg.NewPtrListGroupsRequest())
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, fmt.Errorf("source: groups: %w", err)
	}
	var names []string
	for _, g := range resp.Groups {
		names = append(names, g.Group)
	}
	slices.Sort(names)
	return names, nil
}

// committed are the offsets that a group has committed, by topic and partition.
func (s *Source) committed(ctx context.Context, group string) (map[string]map[int]int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	req.Groups = append(req.Groups, g)
	resp, err := request[*kmsg.OffsetFetchResponse](ctx, s, req)
	if err != nil {
		return nil, err
	}
	offsets := map[string]map[int]int64{}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, fmt.Errorf("source: offsets of group %s: %w", group, err)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("source: offset of group %s in partition %d of topic %s: %w", group, p.Partition, t.Topic, err)
				}
				if p.Offset < 0 {
					continue
				}
				if offsets[t.Topic] == nil {
					offsets[t.Topic] = map[int]int64{}
				}
				offsets[t.Topic][int(p.Partition)] = p.Offset
			}
		}
	}
	return offsets, nil
}
