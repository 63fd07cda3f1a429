package kafka

import (
	"fmt"
	"testing"

	"ottla/protocol"
)

// benchRecords are records as `ottla bench` writes them.
func benchRecords(n int) []sentRecord {
	records := make([]sentRecord, n)
	for i := range records {
		records[i].key = []byte(fmt.Sprint("user-", 100_000+i%1024))
		records[i].value = []byte(fmt.Sprintf(`{"post":%d,"text":"the quick brown fox jumps over the lazy dog the quick brown fox jumps over t"}`, 1000+i%1024))
	}
	return records
}

func BenchmarkBatchToLines(b *testing.B) {
	const n = 7500
	batch := sentBatch(benchRecords(n), nil)
	topic := &protocol.Topic{Name: "bench-kafka-produce-1234-1", Partitions: 1}
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		req := &protocol.ProduceRequest{Topic: topic}
		if code, why := encodeAll(req, batch); code != errNone {
			b.Fatal(code, why)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkRecordsToBatch(b *testing.B) {
	const n = 5000
	records := make([]protocol.Record, n)
	for i, r := range benchRecords(n) {
		records[i] = protocol.Record{Offset: protocol.Offset(1_000_000 + i), Timestamp: 1_700_000_000_000 + int64(i), Key: appendKeyToken(nil, r.key), Value: r.value}
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &batchWriter{most: 1 << 20}
		w.Expect(1 << 20)
		for i := range records {
			w.Take(&records[i])
		}
		b.SetBytes(int64(len(w.bytes())))
		*w.buffer = w.b
		batchBuffers.Put(w.buffer)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
