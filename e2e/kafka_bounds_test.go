package e2e

import (
	wire "encoding/binary"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// dialKafka opens a connection to the first port.
func (s *kafkaServer) dialKafka() net.Conn {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.at)
	require.NoError(s.t, err)
	s.root.Cleanup(func() { _ = nc.Close() })
	return nc
}

// wantClosed waits until the server closes a connection without another byte.
func (s *kafkaServer) wantClosed(nc net.Conn, why string) {
	s.t.Helper()
	require.NoError(s.t, nc.SetReadDeadline(time.Now().Add(waitTimeout)))
	n, err := nc.Read(make([]byte, 100))
	assert.True(s.t, n == 0 && err != nil && !isTimeout(err), "%s: %d bytes, %v", why, n, err)
}

// Requests that are announced and do not come leave the memory to others.
func TestKafkaAnnouncementsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.topic("t", 1)
	for i := range 60 {
		nc := s.dialKafka()
		size, key := uint32(16<<20), uint16(0)
		if i%2 == 0 {
			size, key = 1<<20, 3
		}
		head := wire.BigEndian.AppendUint16(wire.BigEndian.AppendUint32(nil, size), key)
		_, err := nc.Write(append(head, 0, 9))
		require.NoError(t, err)
	}
	began := time.Now()
	s.post("/events", object{"topic": "t", "value": 1}).want(http.StatusOK)
	cl := s.kafka()
	for range 20 { // by when the announcements have come
		require.NoError(t, cl.ProduceSync(s.context(), &kgo.Record{Topic: "t", Value: make([]byte, 500<<10)}).FirstErr())
	}
	assert.Less(t, time.Since(began), 25*time.Second, "it does not wait until the announcements are given up")
}

// Who listens on all addresses sends clients to the one that they have come to.
func TestKafkaClientsAreToldAnAddressTheyReach(t *testing.T) {
	t.Parallel()
	s := prepare(t, "OTTLA_AUTH_INSECURE=true")
	k := &kafkaServer{server: s, at: freePorts(t)}
	_, port, err := net.SplitHostPort(k.at)
	require.NoError(t, err)
	s.args = []string{"--kafka", "0.0.0.0:" + port}
	s.again()
	resp := ask[*kmsg.MetadataResponse](k, k.kafka(), kmsg.NewPtrMetadataRequest())
	require.NotEmpty(t, resp.Brokers)
	assert.Equal(t, "127.0.0.1", resp.Brokers[0].Host)
}

// zeros is a batch of n records of a size, which is small when it is compressed.
func zeros(n, size int) []byte {
	b := kmsg.NewRecordBatch()
	b.Magic, b.FirstTimestamp, b.MaxTimestamp, b.Attributes = 2, 1000, 1000, 4 // zstd
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = -1, -1, -1
	b.NumRecords, b.LastOffsetDelta = int32(n), int32(n-1)
	var records []byte
	for i := range n {
		r := kmsg.NewRecord()
		r.Value, r.OffsetDelta = make([]byte, size), int32(i)
		body := r.AppendTo(nil)[1:] // without its length
		records = append(wire.AppendVarint(records, int64(len(body))), body...)
	}
	w, _ := zstd.NewWriter(nil)
	b.Records = w.EncodeAll(records, nil)
	return checked(&b)
}

// The batches of one request have as many bytes as one may have, however well they
// are compressed.
func TestKafkaBatchesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.topic("t", 8)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	topic := kmsg.ProduceRequestTopic{Topic: "t"}
	batch := zeros(10, 1<<20-100)
	for p := range 8 {
		topic.Partitions = append(topic.Partitions, kmsg.ProduceRequestTopicPartition{Partition: int32(p), Records: batch})
	}
	req.Topics = []kmsg.ProduceRequestTopic{topic}
	answer, err := s.kafka().SeedBrokers()[0].RetriableRequest(s.context(), req)
	require.NoError(t, err)
	resp := answer.(*kmsg.ProduceResponse)
	written := 0
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode == 0 {
			written++
			continue
		}
		assert.Contains(t, []int16{kerr.MessageTooLarge.Code, kerr.NotEnoughReplicas.Code}, p.ErrorCode)
	}
	assert.Equal(t, 1, written, "of 8 batches of 10 MiB each, where a request has 16")
}

// Who may only write has what a producer asks for, too.
func TestKafkaProducersNeedNoRightToRead(t *testing.T) {
	t.Parallel()
	s := prepare(t, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret, "OTTLA_HTTP_READ_TIMEOUT=5s")
	k := &kafkaServer{server: s, at: freePorts(t)}
	s.args = []string{"--kafka", k.at}
	s.again()
	s.post("/topic", object{"name": "mine", "partitions": 1}, admin...).want(http.StatusCreated)
	token := s.token("writer", `[{"do":["write"],"topics":"mine"}]`)[1][len("Bearer "):]
	cl := k.kafka(kgo.SASL(plain.Auth{User: "any", Pass: token}.AsMechanism()))
	require.NoError(t, cl.ProduceSync(k.context(), &kgo.Record{Topic: "mine", Value: []byte("1")}).FirstErr())

	var created struct{ Token string }
	s.post("/tokens", `{"name":"slow","allow":[{"do":["read"]}],"quota":{"requests_per_s":5}}`, admin...).want(http.StatusCreated).decode(&created)
	slow := k.kafka(kgo.SASL(plain.Auth{User: "any", Pass: created.Token}.AsMechanism()))
	began := time.Now()
	for range 20 {
		ask[*kmsg.DescribeClusterResponse](k, slow, kmsg.NewPtrDescribeClusterRequest())
	}
	assert.Greater(t, time.Since(began), 2*time.Second, "20 requests at 5 a second")
	k.wantClosed(k.dialKafka(), "who says nothing of himself")
}

// What a request asks for is bounded, or said to be wrong, in Kafka's words.
func TestKafkaRequestsThatAskForTooMuch(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.topic("t", 1)
	s.produce("t", object{"value": 1})
	cl := s.kafka(kgo.MaxVersions(kversion.V2_7_0())) // which names topics in fetches

	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "g", "consumer", 10_000, 10_000
	for i := range 1000 {
		join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: fmt.Sprint(i)})
	}
	assert.Equal(t, kerr.InconsistentGroupProtocol.Code, ask[*kmsg.JoinGroupResponse](s, cl, join).ErrorCode)

	fetch := func(maxWait time.Duration, minBytes, maxBytes, partitionMax int32, topics ...string) (*kmsg.FetchResponse, time.Duration) {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = int32(maxWait.Milliseconds()), minBytes, maxBytes, -1
		for _, name := range topics {
			p := kmsg.NewFetchRequestTopicPartition()
			p.PartitionMaxBytes, p.FetchOffset = partitionMax, 1
			req.Topics = append(req.Topics, kmsg.FetchRequestTopic{Topic: name, Partitions: []kmsg.FetchRequestTopicPartition{p}})
		}
		began := time.Now()
		return ask[*kmsg.FetchResponse](s, cl, req), time.Since(began)
	}
	const long, short = 30 * time.Second, 3 * time.Second
	_, took := fetch(long, 0, 1<<20, 1<<20, "t")
	assert.Less(t, took, long, "who wants nothing is not kept waiting")
	got, took := fetch(short, 1, 1<<20, 1<<20, "missing", "t")
	for got.Topics[1].Partitions[0].ErrorCode == kerr.NotLeaderForPartition.Code { // leaders may move in the first seconds
		got, took = fetch(short, 1, 1<<20, 1<<20, "missing", "t")
	}
	assert.Equal(t, kerr.UnknownTopicOrPartition.Code, got.Topics[0].Partitions[0].ErrorCode)
	assert.Zero(t, got.Topics[1].Partitions[0].ErrorCode)
	assert.Greater(t, took, time.Second, "what is missing does not keep the rest from waiting")

	var names []string
	for i := range 4 {
		names = append(names, fmt.Sprint("big-", i))
		s.topic(names[i], 1)
		for range 3 {
			require.NoError(t, cl.ProduceSync(s.context(), &kgo.Record{Topic: names[i], Value: make([]byte, 100<<10)}).FirstErr())
		}
	}
	got, _ = fetch(short, 1, 250<<10, 1<<20, names...)
	bytes := 0
	for _, topic := range got.Topics {
		bytes += len(topic.Partitions[0].RecordBatches)
	}
	assert.Less(t, bytes, 400<<10, "of 250 KiB that are asked for, and what the last record is beyond")
	assert.Positive(t, bytes)

	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "g", -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	metadata := string(make([]byte, 10_000))
	p.Metadata = &metadata
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	assert.Equal(t, kerr.OffsetMetadataTooLarge.Code, ask[*kmsg.OffsetCommitResponse](s, cl, commit).Topics[0].Partitions[0].ErrorCode)

	nc := s.dialKafka() // acks=0 to a topic that is not there
	body := []byte{0xff, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 1, 0, 7}
	body = append(append(body, "missing"...), 0, 0, 0, 1, 0, 0, 0, 0)
	batch := recordBatch(-1, -1, -1, 1)
	body = append(wire.BigEndian.AppendUint32(body, uint32(len(batch))), batch...)
	_, err := nc.Write(frame(0, 7, body))
	require.NoError(t, err)
	s.wantClosed(nc, "an error that cannot be told")
}
