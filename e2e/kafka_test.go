package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// kafkaServer is a server that Kafka clients reach, too.
type kafkaServer struct {
	*server
	at string
}

func startKafka(t *testing.T, settings ...string) *kafkaServer {
	t.Helper()
	s := prepare(t, settings...)
	k := &kafkaServer{server: s, at: freePorts(t)}
	s.args = []string{"--kafka", k.at}
	s.again()
	return k
}

// kafka is a client.
func (s *kafkaServer) kafka(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.at), kgo.RetryTimeout(waitTimeout), kgo.MetadataMinAge(50 * time.Millisecond), kgo.FetchMaxWait(500 * time.Millisecond),
	}, opts...)...)
	require.NoError(s.t, err)
	s.root.Cleanup(cl.Close)
	return cl
}

func (s *kafkaServer) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*waitTimeout)
	s.root.Cleanup(cancel)
	return ctx
}

// ask sends a request of the protocol.
func ask[P kmsg.Response](s *kafkaServer, cl *kgo.Client, req kmsg.Request) P {
	s.t.Helper()
	resp, err := cl.Request(s.context(), req)
	require.NoError(s.t, err)
	return resp.(P)
}

// take polls n records.
func (s *kafkaServer) take(cl *kgo.Client, n int) []*kgo.Record {
	s.t.Helper()
	ctx := s.context()
	var got []*kgo.Record
	for len(got) < n {
		fs := cl.PollFetches(ctx)
		require.NoError(s.t, fs.Err0())
		fs.EachRecord(func(r *kgo.Record) { got = append(got, r) })
	}
	return got
}

// What one face writes the other reads: keys, values, headers, nulls, partitions.
func TestKafkaAndHTTPShareTopics(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.topic("t", 3)
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		cl := s.kafka(kgo.ProducerBatchCompression(codec))
		topic := "codec-" + name
		s.topic(topic, 1)
		var sent []*kgo.Record
		for i := range 100 {
			sent = append(sent, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprintf(`{"n":%d}`, i)), Headers: []kgo.RecordHeader{{Key: "codec", Value: []byte(name)}}})
		}
		require.NoError(t, cl.ProduceSync(s.context(), sent...).FirstErr())
		got := s.fetch(topic, 0, 0, "").Records
		require.Len(t, got, 100)
		assert.JSONEq(t, `{"n":99}`, string(got[99].Value))
		assert.Equal(t, map[string]string{"codec": name}, got[99].Headers)
	}

	cl := s.kafka(kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	at := time.UnixMilli(1_700_000_000_123)
	for i := range 20 {
		key := fmt.Sprintf("user-%d", i)
		r := &kgo.Record{Topic: "t", Key: []byte(key), Value: []byte{0xff, byte(i)}, Timestamp: at}
		require.NoError(t, cl.ProduceSync(s.context(), r).FirstErr())
		again := s.produce("t", object{"key": key, "value": object{"text": "ü\n"}})
		require.EqualValues(t, r.Partition, again.Partition, "both faces put a key into one partition")
	}
	odd := &kgo.Record{Topic: "t", Key: nil, Value: nil, Headers: []kgo.RecordHeader{{Key: "a", Value: []byte{0xff}}, {Key: "a"}, {Key: "a", Value: []byte("x")}}}
	require.NoError(t, cl.ProduceSync(s.context(), odd).FirstErr())
	s.post("/events", `{"topic":"t","value_text":"list","headers":[["h",null],["h","1"]]}`).want(http.StatusOK)
	records := s.take(cl, 42)
	byValue := map[string]*kgo.Record{}
	for _, r := range records {
		byValue[string(r.Value)] = r
	}
	assert.Equal(t, "user-7", string(byValue["\xff\x07"].Key))
	assert.Equal(t, at.UnixMilli(), byValue["\xff\x07"].Timestamp.UnixMilli())
	assert.NotNil(t, byValue[`{"text":"ü\n"}`])
	assert.Nil(t, byValue[""].Value)
	assert.Equal(t, odd.Headers, byValue[""].Headers)
	assert.Equal(t, []kgo.RecordHeader{{Key: "h"}, {Key: "h", Value: []byte("1")}}, byValue["list"].Headers)
	shown := s.get(fmt.Sprintf("/topic/t/partitions/%d/records?offset=%d&max_records=1", odd.Partition, odd.Offset)).want(http.StatusOK)
	assert.Contains(t, string(shown.body), `"headers":[["a",{"b64":"/w=="}],["a",null],["a","x"]]`)
}

// A batch that is sent again is not written again, whichever of the last five it is,
// and over kill -9.
func TestKafkaBatchesAreWrittenOnce(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.topic("t", 1)
	cl := s.kafka()
	id := ask[*kmsg.InitProducerIDResponse](s, cl, kmsg.NewPtrInitProducerIDRequest())
	require.Zero(t, id.ErrorCode)
	send := func(epoch int16, seq, n int32) (int16, int64) {
		s.t.Helper()
		return s.produceBatch(cl, "t", id.ProducerID, epoch, seq, n)
	}
	var offsets []int64
	for i := range int32(7) {
		code, offset := send(0, 2*i, 2)
		require.Zero(t, code)
		offsets = append(offsets, offset)
	}
	require.Equal(t, []int64{0, 2, 4, 6, 8, 10, 12}, offsets)
	check := func() {
		t.Helper()
		for i := 2; i < 7; i++ {
			code, offset := send(0, int32(2*i), 2)
			assert.Zero(t, code)
			assert.Equal(t, offsets[i], offset)
		}
		for _, seq := range []int32{0, 2, 15, 20} {
			code, _ := send(0, seq, 2)
			assert.Equal(t, kerr.OutOfOrderSequenceNumber.Code, code, "sequence %d", seq)
		}
		assert.EqualValues(t, 14, s.partitionEnd("t", 0))
	}
	check()
	s.kill()
	s.again()
	check()
	code, offset := send(1, 0, 1)
	assert.Zero(t, code)
	assert.EqualValues(t, 14, offset)
	code, _ = send(0, 14, 1)
	assert.Equal(t, kerr.InvalidProducerEpoch.Code, code)
	s.post("/events", object{"topic": "t", "value": 1}, "Producer-Id", "kafka:"+strconv.FormatInt(id.ProducerID, 10), "Producer-Epoch", "9", "Producer-Seq", "0").wantStatus(http.StatusBadRequest)
}

// produceBatch sends one batch as it is, and returns its code and offset.
func (s *kafkaServer) produceBatch(cl *kgo.Client, topic string, id int64, epoch int16, seq, n int32) (int16, int64) {
	s.t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = recordBatch(id, epoch, seq, n)
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.ProduceRequestTopicPartition{p}
	req.Topics = []kmsg.ProduceRequestTopic{rt}
	resp, err := cl.SeedBrokers()[0].RetriableRequest(s.context(), req)
	require.NoError(s.t, err)
	out := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	require.EqualValues(s.t, -1, out.LogStartOffset, "it is not known, rather than 0")
	return out.ErrorCode, out.BaseOffset
}

func (s *kafkaServer) partitionEnd(topic string, partition int) (end int64) {
	s.t.Helper()
	var v struct{ Latest int64 }
	s.get(fmt.Sprintf("/topic/%s/partitions/%d/offsets", topic, partition)).want(http.StatusOK).decode(&v)
	return v.Latest
}

// Nothing that was acknowledged is lost, and nothing is there twice, while the process
// is killed again and again.
func TestKafkaProducersSurviveKills(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.topic("t", 3)
	cl := s.kafka(kgo.RecordRetries(1<<30), kgo.ProducerLinger(0))
	var mu sync.Mutex
	acked := map[string]int64{}
	ctx, cancel := context.WithCancel(context.Background())
	var producing sync.WaitGroup
	for p := range 4 {
		producing.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				r := &kgo.Record{Topic: "t", Value: []byte(fmt.Sprintf("%d-%d", p, i))}
				if err := cl.ProduceSync(context.Background(), r).FirstErr(); err == nil {
					mu.Lock()
					acked[string(r.Value)] = r.Offset
					mu.Unlock()
				}
			}
		})
	}
	total := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	for range 3 {
		want := total() + 200
		s.eventually(waitTimeout, "it goes on", func() error { return short(total(), want) })
		s.kill()
		s.again()
	}
	cancel()
	producing.Wait()
	reader := s.kafka(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := map[string]int{}
	for _, r := range s.take(reader, total()) {
		seen[string(r.Value)]++
		assert.Equal(t, acked[string(r.Value)], r.Offset)
	}
	for value, n := range seen {
		assert.Equal(t, 1, n, value)
	}
	assert.Len(t, seen, total())
}

// Topics, their settings and their records are administered as with Kafka.
func TestKafkaAdministration(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	cl := s.kafka()
	create := kmsg.NewPtrCreateTopicsRequest()
	for name, edit := range map[string]func(*kmsg.CreateTopicsRequestTopic){
		"new": func(r *kmsg.CreateTopicsRequestTopic) {
			r.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: kmsg.StringPtr("3600000")}, {Name: "min.insync.replicas", Value: kmsg.StringPtr("2")}}
		},
		"a/b":      func(*kmsg.CreateTopicsRequestTopic) {},
		"replicas": func(r *kmsg.CreateTopicsRequestTopic) { r.ReplicationFactor = 5 },
		"config": func(r *kmsg.CreateTopicsRequestTopic) {
			r.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "no.such"}}
		},
		"none": func(r *kmsg.CreateTopicsRequestTopic) { r.NumPartitions = 0 },
	} {
		r := kmsg.NewCreateTopicsRequestTopic()
		r.Topic, r.NumPartitions, r.ReplicationFactor = name, 2, -1
		edit(&r)
		create.Topics = append(create.Topics, r)
	}
	codes := map[string]int16{}
	for _, o := range ask[*kmsg.CreateTopicsResponse](s, cl, create).Topics {
		codes[o.Topic] = o.ErrorCode
	}
	assert.Equal(t, map[string]int16{
		"new": 0, "a/b": kerr.InvalidTopicException.Code, "replicas": kerr.InvalidReplicationFactor.Code, "config": kerr.InvalidConfig.Code, "none": kerr.InvalidPartitions.Code,
	}, codes)
	var topic struct {
		RetentionMs int64 `json:"retention_ms"`
		Partitions  []any
	}
	s.get("/topic/new").want(http.StatusOK).decode(&topic)
	assert.EqualValues(t, 3_600_000, topic.RetentionMs)

	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "new", Count: 4}, {Topic: "new2", Count: 4}}
	grown := ask[*kmsg.CreatePartitionsResponse](s, cl, grow)
	assert.Zero(t, grown.Topics[0].ErrorCode)
	assert.Equal(t, kerr.UnknownTopicOrPartition.Code, grown.Topics[1].ErrorCode)
	s.get("/topic/new").want(http.StatusOK).decode(&topic)
	assert.Len(t, topic.Partitions, 4)

	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	alter.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "new",
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: kmsg.StringPtr("7200000")}},
	}}
	assert.Zero(t, ask[*kmsg.IncrementalAlterConfigsResponse](s, cl, alter).Resources[0].ErrorCode)
	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "new", ConfigNames: []string{"retention.ms", "cleanup.policy"}}}
	configs := ask[*kmsg.DescribeConfigsResponse](s, cl, describe).Resources[0].Configs
	require.Len(t, configs, 2)
	assert.True(t, slices.ContainsFunc(configs, func(c kmsg.DescribeConfigsResponseResourceConfig) bool {
		return c.Name == "retention.ms" && *c.Value == "7200000"
	}))
	var before, after struct {
		RetentionMs int64 `json:"retention_ms"`
	}
	alter.Resources[0].Configs[0].Op = kmsg.IncrementalAlterConfigOpDelete
	assert.Zero(t, ask[*kmsg.IncrementalAlterConfigsResponse](s, cl, alter).Resources[0].ErrorCode)
	s.topic("plain", 1)
	s.get("/topic/plain").want(http.StatusOK).decode(&before)
	s.get("/topic/new").want(http.StatusOK).decode(&after)
	assert.Equal(t, before, after, "what is deleted is the default again")

	for i := range 5 {
		s.produce("new", object{"partition": 0, "value": i, "timestamp": 1000 * (i + 1)})
	}
	list := func(at int64) (int64, int64) {
		req := kmsg.NewPtrListOffsetsRequest()
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = at
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "new", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		out := ask[*kmsg.ListOffsetsResponse](s, cl, req).Topics[0].Partitions[0]
		require.Zero(t, out.ErrorCode)
		return out.Offset, out.Timestamp
	}
	for at, want := range map[int64][2]int64{-1: {5, -1}, -2: {0, -1}, -3: {4, 5000}, 2500: {2, 3000}, 5001: {-1, -1}, 0: {0, 1000}} {
		offset, timestamp := list(at)
		assert.Equal(t, want, [2]int64{offset, timestamp}, "time %d", at)
	}
	trim := kmsg.NewPtrDeleteRecordsRequest()
	trim.TimeoutMillis = 5000
	trim.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "new", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 3}, {Partition: 1, Offset: 9}}}}
	trimmed := map[int32]kmsg.DeleteRecordsResponseTopicPartition{}
	for _, topic := range ask[*kmsg.DeleteRecordsResponse](s, cl, trim).Topics { // of each leader
		for _, p := range topic.Partitions {
			trimmed[p.Partition] = p
		}
	}
	assert.EqualValues(t, 3, trimmed[0].LowWatermark)
	assert.Equal(t, kerr.OffsetOutOfRange.Code, trimmed[1].ErrorCode)

	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "tool", -1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "new", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 4, Metadata: kmsg.StringPtr("m")}, {Partition: 9, Offset: 1}}}}
	committed := ask[*kmsg.OffsetCommitResponse](s, cl, commit).Topics[0].Partitions
	assert.Zero(t, committed[0].ErrorCode)
	assert.Equal(t, kerr.UnknownTopicOrPartition.Code, committed[1].ErrorCode)
	assert.EqualValues(t, 4, s.committed("tool", "new", 0))
	commit.Topics[0].Partitions = []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 1000}}
	assert.Zero(t, ask[*kmsg.OffsetCommitResponse](s, cl, commit).Topics[0].Partitions[0].ErrorCode, "also beyond the end, as with Kafka")
	listed := ask[*kmsg.ListGroupsResponse](s, cl, kmsg.NewPtrListGroupsRequest())
	assert.Equal(t, "tool", listed.Groups[0].Group)
	assert.Equal(t, "Empty", listed.Groups[0].GroupState)
	drop := kmsg.NewPtrOffsetDeleteRequest()
	drop.Group = "tool"
	drop.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "new", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	assert.Zero(t, ask[*kmsg.OffsetDeleteResponse](s, cl, drop).Topics[0].Partitions[0].ErrorCode)
	assert.Zero(t, ask[*kmsg.DeleteGroupsResponse](s, cl, &kmsg.DeleteGroupsRequest{Groups: []string{"tool"}}).Groups[0].ErrorCode)
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.TopicNames = []string{"new"}
	remove.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("new")}}
	assert.Zero(t, ask[*kmsg.DeleteTopicsResponse](s, cl, remove).Topics[0].ErrorCode)
	s.get("/topic/new").wantStatus(http.StatusNotFound)
}

// Clients show a token as the password of SASL PLAIN, and may do what it allows.
func TestKafkaClientsShowTokens(t *testing.T) {
	t.Parallel()
	s := prepare(t, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
	k := &kafkaServer{server: s, at: freePorts(t)}
	s.args = []string{"--kafka", k.at}
	s.again()
	for _, topic := range []string{"mine", "secret"} {
		s.post("/topic", object{"name": topic, "partitions": 1}, admin...).want(http.StatusCreated)
	}
	token := s.token("team", `[{"do":["read","write"],"topics":"mine"}]`)[1][len("Bearer "):]
	as := func(token string, opts ...kgo.Opt) *kgo.Client {
		return k.kafka(append(opts, kgo.SASL(plain.Auth{User: "any", Pass: token}.AsMechanism()))...)
	}
	// An idempotent producer that never hears what became of a record asks for ever.
	loose := as(token, kgo.DisableIdempotentWrite())
	require.NoError(t, loose.ProduceSync(k.context(), &kgo.Record{Topic: "mine", Value: []byte("0")}).FirstErr())
	cl := as(token)
	require.NoError(t, cl.ProduceSync(k.context(), &kgo.Record{Topic: "mine", Value: []byte("1")}).FirstErr())
	err := cl.ProduceSync(k.context(), &kgo.Record{Topic: "secret", Value: []byte("1")}).FirstErr()
	assert.True(t, errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.TopicAuthorizationFailed), "%v", err)
	all := ask[*kmsg.MetadataResponse](k, cl, &kmsg.MetadataRequest{})
	require.Len(t, all.Topics, 1, "it sees what it may")
	assert.Equal(t, "mine", *all.Topics[0].Topic)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "made", NumPartitions: 1, ReplicationFactor: -1}}
	assert.Equal(t, kerr.TopicAuthorizationFailed.Code, ask[*kmsg.CreateTopicsResponse](k, cl, create).Topics[0].ErrorCode)
	assert.Zero(t, ask[*kmsg.CreateTopicsResponse](k, as(adminSecret), create).Topics[0].ErrorCode)

	for _, wrong := range []*kgo.Client{as("wrong"), k.kafka()} {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		_, err := wrong.Request(ctx, kmsg.NewPtrMetadataRequest())
		cancel()
		assert.Error(t, err)
	}
	s.call(http.MethodDelete, "/tokens/team", nil, admin...).want(http.StatusNoContent)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	assert.Error(t, loose.ProduceSync(ctx, &kgo.Record{Topic: "mine", Value: []byte("2")}).FirstErr(), "its token is gone")
}
