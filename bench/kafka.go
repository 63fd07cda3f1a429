package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The workloads of Kafka's protocol. kafka-produce and kafka-fetch send requests that
// were rendered in advance, as those of HTTP do, so that they compare with produce-batch
// and fetch; the others are what a program sees that uses franz-go.

const kafkaPrefix = "kafka-"

// wantsKafka reports whether a workload needs a port for Kafka clients.
func (o *Options) wantsKafka() bool {
	for _, name := range o.Workloads {
		if strings.HasPrefix(name, kafkaPrefix) {
			return true
		}
	}
	return false
}

// portsInARow returns an address whose port is free, as the n-1 after it are.
func portsInARow(n int) (string, error) {
	for range 100 {
		first := 10_000 + rand.Intn(20_000)
		free := 0
		for ; free < n; free++ {
			ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first+free)))
			if err != nil {
				break
			}
			_ = ln.Close()
		}
		if free == n {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(first)), nil
		}
	}
	return "", fmt.Errorf("no %d free ports in a row", n)
}

// kafkaSession is a session of such a workload.
type kafkaSession struct{ *session }

// kafkaBatch is a record batch of BatchSize records as produce-batch sends them.
func (s kafkaSession) kafkaBatch(from int) []byte {
	b := kmsg.NewRecordBatch()
	b.Magic, b.ProducerID, b.ProducerEpoch, b.FirstSequence = 2, -1, -1, -1
	b.FirstTimestamp = time.Now().UnixMilli()
	b.MaxTimestamp = b.FirstTimestamp
	b.NumRecords, b.LastOffsetDelta = int32(s.BatchSize), int32(s.BatchSize-1)
	for i := range s.BatchSize {
		n := (from + i) % variants
		r := kmsg.NewRecord()
		if r.Value, r.OffsetDelta = s.value(n), int32(i); s.Keyed {
			r.Key = []byte(s.keyOf(n))
		}
		body := r.AppendTo(nil)[1:] // behind its length, which is 0 here
		b.Records = append(binary.AppendVarint(b.Records, int64(len(body))), body...)
	}
	raw := b.AppendTo(nil)
	const prefix, crcAt, crcOf = 12, 17, 21
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-prefix))
	binary.BigEndian.PutUint32(raw[crcAt:], crc32.Checksum(raw[crcOf:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// kafkaCall is a request and how many records it writes.
type kafkaCall struct {
	wire    []byte
	version int16
	records int
}

// render makes a request as it stands on the wire.
func render(req kmsg.Request, version int16, records int) kafkaCall {
	req.SetVersion(version)
	b := make([]byte, 4, 64)
	b = binary.BigEndian.AppendUint16(b, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 0)                    // correlation
	b = append(b, 0, 5, 'b', 'e', 'n', 'c', 'h') // client
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return kafkaCall{wire: b, version: version, records: records}
}

// Versions without flexible headers, so that answers begin behind the correlation.
const (
	kafkaProduceVersion = 8
	kafkaFetchVersion   = 11
)

// runKafkaCalls sends calls on all connections, each one after the other, and has
// judge look at the answers: it says how many records were written or read.
func (s kafkaSession) runKafkaCalls(ctx context.Context, calls []kafkaCall, judge func(*kafkaCall, []byte) (int, error)) ([]Measurement, error) {
	rec := newRecorder(s.workload.name)
	js := make(jobs, s.connections)
	for i := range js {
		js[i] = func(ctx context.Context) error { return s.kafkaLoop(ctx, i, calls, rec, judge) }
	}
	return s.measure(ctx, []*recorder{rec}, js)
}

func (s kafkaSession) kafkaLoop(ctx context.Context, connection int, calls []kafkaCall, rec *recorder, judge func(*kafkaCall, []byte) (int, error)) error {
	nc, err := net.Dial("tcp", s.kafka)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer nc.Close() //nolint:errcheck // there is nothing to lose
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	in := bufio.NewReaderSize(nc, 64<<10)
	var buf []byte
	for n := connection * 7919; ctx.Err() == nil; n++ {
		c := &calls[n%len(calls)]
		start := time.Now()
		if _, err = nc.Write(c.wire); err == nil {
			buf, err = readKafka(in, buf)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("request: %w", err)
		}
		records, err := judge(c, buf[4:])
		if err != nil {
			rec.failed(err.Error())
			continue
		}
		rec.done(time.Since(start), records, len(buf))
	}
	return nil
}

// readKafka reads an answer, with its correlation, into buf.
func readKafka(in *bufio.Reader, buf []byte) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return buf, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := io.ReadFull(in, buf[:n])
	return buf[:n], err
}

func runKafkaProduce(ctx context.Context, of *session) ([]Measurement, error) {
	s := kafkaSession{of}
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	calls := make([]kafkaCall, 8*s.Partitions)
	for i := range calls {
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = -1, 10_000
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{
			{Partition: int32(i % s.Partitions), Records: s.kafkaBatch(i * s.BatchSize)},
		}}}
		calls[i] = render(req, kafkaProduceVersion, s.BatchSize)
	}
	// An answer has the name of the topic, and the partition before its error.
	code := 4 + 2 + len(topic) + 4 + 4
	return s.runKafkaCalls(ctx, calls, func(c *kafkaCall, answer []byte) (int, error) {
		if len(answer) < code+2 {
			return 0, errors.New("the answer is too short")
		}
		if c := int16(binary.BigEndian.Uint16(answer[code:])); c != 0 {
			return 0, fmt.Errorf("error code %d", c)
		}
		return c.records, nil
	})
}

func runKafkaFetch(ctx context.Context, of *session) ([]Measurement, error) {
	s := kafkaSession{of}
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	records := max(preloaded, 4*s.BatchSize*s.Partitions)
	if err := s.preloadKafka(ctx, topic, records); err != nil {
		return nil, err
	}
	calls := s.kafkaReads(topic, records)
	return s.runKafkaCalls(ctx, calls, func(_ *kafkaCall, answer []byte) (int, error) {
		n, err := countRecords(answer)
		if err == nil && n == 0 {
			err = errors.New("the answer has no records")
		}
		return n, err
	})
}

// preloadKafka fills the partitions of a topic in turn with so many records together.
func (s kafkaSession) preloadKafka(ctx context.Context, topic string, records int) error {
	cl, err := s.kafkaClient(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer cl.Close()
	failed := make(chan error, 1)
	for i := range records {
		r := &kgo.Record{Partition: int32(i % s.Partitions), Key: []byte(s.keyOf(i % variants)), Value: s.value(i % variants)}
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("preload: %w", err)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("preload: %w", err)
	default:
		return nil
	}
}

// kafkaReads are requests that each read up to a MiB of a topic that preloadKafka has
// filled, as clients do.
func (s kafkaSession) kafkaReads(topic string, records int) []kafkaCall {
	const bytes = 1 << 20
	step := bytes / (s.RecordBytes + 100)
	var calls []kafkaCall
	for from := 0; from == 0 || from+step <= records/s.Partitions; from += step {
		for p := range s.Partitions {
			req := kmsg.NewPtrFetchRequest()
			req.MaxBytes, req.MinBytes, req.MaxWaitMillis, req.SessionEpoch = 50<<20, 1, 500, -1
			at := kmsg.NewFetchRequestTopicPartition()
			at.Partition, at.FetchOffset, at.PartitionMaxBytes = int32(p), int64(from), bytes
			req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{at}}}
			calls = append(calls, render(req, kafkaFetchVersion, 0))
		}
	}
	return calls
}

// createKafkaTopic creates a topic at a server of somebody else, each record of which is
// on the disk before it is acknowledged, and goes on with the node that leads it.
func (s kafkaSession) createKafkaTopic(ctx context.Context, topic string) (remove func(), err error) {
	cl, err := s.kafkaClient()
	if err != nil {
		return nil, err
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, 1, int16(s.Replicas)
	one, majority := "1", strconv.Itoa(s.Replicas/2+1)
	t.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "flush.messages", Value: &one}, {Name: "min.insync.replicas", Value: &majority}}
	create.Topics = []kmsg.CreateTopicsRequestTopic{t}
	if resp, err := create.RequestWith(ctx, cl); err != nil {
		return nil, fmt.Errorf("create topic: %w", err)
	} else if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return nil, fmt.Errorf("create topic: %w", err)
	}
	remove = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.TopicNames, del.Topics = []string{topic}, []kmsg.DeleteTopicsRequestTopic{{Topic: &topic}}
		_, _ = del.RequestWith(ctx, cl) // one that stays does no harm
		cl.Close()
	}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := meta.RequestWith(ctx, cl)
		if err != nil {
			return remove, fmt.Errorf("find the leader: %w", err)
		}
		for _, b := range resp.Brokers {
			if len(resp.Topics[0].Partitions) == 1 && b.NodeID == resp.Topics[0].Partitions[0].Leader {
				s.kafka = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
				return remove, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return remove, ctx.Err()
		}
	}
}

// countRecords counts the records of an answer to a fetch of one partition, by the
// headers of the batches.
func countRecords(answer []byte) (records int, err error) {
	var resp kmsg.FetchResponse
	resp.Version = kafkaFetchVersion
	if err := resp.ReadFrom(answer); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	p := &resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return 0, fmt.Errorf("error code %d", p.ErrorCode)
	}
	const header, lengthAt, countAt = 61, 8, 57
	for b := p.RecordBatches; len(b) >= header; {
		next := 12 + int(binary.BigEndian.Uint32(b[lengthAt:]))
		if next > len(b) { // Kafka cuts the last one
			break
		}
		records += int(binary.BigEndian.Uint32(b[countAt:]))
		b = b[next:]
	}
	return records, nil
}
