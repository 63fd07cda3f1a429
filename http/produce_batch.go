package http

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"ottla/http/conn"
	"ottla/pool"
	"ottla/protocol"
)

// sendBatch sends each partition its records, in the order of the request, and
// answers for all of them.
func (p *produce) sendBatch(topic *protocol.Topic) *protocol.Error {
	byPartition := make([]*protocol.ProduceRequest, topic.Partitions)
	reqs := p.group(topic, byPartition)
	p.b.Produce(reqs, p.deadline)
	if err := commonError(reqs); err != nil {
		return err
	}
	failed := false
	for _, req := range reqs {
		failed = failed || req.Result.Err != nil
	}
	switch {
	case failed:
		p.send(fasthttp.StatusMultiStatus, p.appendBatch(topic, reqs, byPartition))
	case p.noAck:
		p.send(fasthttp.StatusAccepted, appendAccepted(p.out(), topic.Name))
	default:
		p.send(fasthttp.StatusOK, p.appendBatch(topic, reqs, byPartition))
	}
	for _, req := range reqs {
		if req.Settled {
			recycleLines(&req.Lines)
		}
	}
	return nil
}

// keptLines is the largest buffer of lines that is kept for another batch, in bytes.
const keptLines = 1 << 20

// linesPool has lines of earlier batches. Making new ones for each batch keeps the
// garbage collector busy.
var linesPool pool.BySize[protocol.Lines]

// newLines returns lines with room for a number of records, of that many bytes together.
func newLines(records, bytes int) protocol.Lines {
	l := linesPool.Get(bytes)
	if l == nil {
		l = &protocol.Lines{Buf: make([]byte, 0, pool.SizeFor(bytes))}
	}
	if cap(l.Gaps) < records {
		l.Gaps = make([]int, 0, records)
	}
	return protocol.Lines{Buf: l.Buf[:0], Gaps: l.Gaps[:0]}
}

// recycleLines takes lines that nobody reads any more.
func recycleLines(l *protocol.Lines) {
	if cap(l.Buf) > keptLines {
		return
	}
	conn.Spoil(l.Buf)
	linesPool.Put(&protocol.Lines{Buf: l.Buf, Gaps: l.Gaps}, cap(l.Buf))
	*l = protocol.Lines{}
}

// group makes one request for each partition that has records, in the order of
// partitions. It also stores them in byPartition.
func (p *produce) group(topic *protocol.Topic, byPartition []*protocol.ProduceRequest) []*protocol.ProduceRequest {
	type sum struct{ records, bytes int }
	sums := make([]sum, topic.Partitions)
	used := 0
	for i := range p.records {
		s := &sums[p.records[i].partition]
		if s.records == 0 {
			used++
		}
		s.records++
		s.bytes += p.records[i].lineBytes(topic)
	}
	own := make([]protocol.ProduceRequest, 0, used)
	reqs := make([]*protocol.ProduceRequest, 0, used)
	for partition, s := range sums {
		if s.records == 0 {
			continue
		}
		own = append(own, protocol.ProduceRequest{Topic: topic, Partition: partition, NoAck: p.noAck, Waits: p.waits})
		req := &own[len(own)-1]
		req.Lines = newLines(s.records, s.bytes)
		p.idempotence.apply(req)
		byPartition[partition] = req
		reqs = append(reqs, req)
	}
	for i := range p.records {
		rec := &p.records[i]
		rec.line(&byPartition[rec.partition].Lines, topic)
	}
	return reqs
}

// commonError returns the error that every partition failed with, nil unless all
// failed in the same way.
func commonError(reqs []*protocol.ProduceRequest) *protocol.Error {
	first := reqs[0].Result.Err
	for _, req := range reqs {
		if err := req.Result.Err; err == nil || first == nil || err.Code != first.Code || err.Outcome != first.Outcome {
			return nil
		}
	}
	return first
}

// appendBatch appends the answer to a batch.
func (p *produce) appendBatch(topic *protocol.Topic, reqs, byPartition []*protocol.ProduceRequest) []byte {
	count, failed, duplicate := 0, false, true
	for _, req := range reqs {
		if req.Result.Err != nil {
			failed = true
			continue
		}
		count += req.Lines.Len()
		duplicate = duplicate && req.Result.Duplicate
	}
	dst := append(p.out(), `{"topic":`...)
	dst = protocol.AppendJSONString(dst, topic.Name)
	dst = append(dst, `,"committed":`...)
	dst = strconv.AppendBool(dst, !failed && !p.noAck)
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(count), 10)
	if duplicate && !failed {
		dst = append(dst, `,"duplicate":true`...)
	}
	dst = append(dst, `,"partitions":[`...)
	for i, req := range reqs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.appendPartition(dst, req)
	}
	dst = append(dst, ']')
	if p.offsets {
		dst = p.appendOffsets(dst, byPartition)
	}
	return append(dst, '}')
}

// appendPartition appends what became of one partition's records.
func (p *produce) appendPartition(dst []byte, req *protocol.ProduceRequest) []byte {
	dst = append(dst, `{"partition":`...)
	dst = strconv.AppendInt(dst, int64(req.Partition), 10)
	if req.Result.Err == nil {
		dst = append(dst, `,"base_offset":`...)
		dst = strconv.AppendInt(dst, int64(req.Result.BaseOffset), 10)
	}
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(req.Lines.Len()), 10)
	if req.Result.Err != nil {
		dst = append(dst, `,"error":`...)
		dst = appendError(dst, req.Result.Err, p.requestID())
	}
	return append(dst, '}')
}

// appendOffsets appends where each record went, in the order of the request. The
// offset is null if its partition failed.
func (p *produce) appendOffsets(dst []byte, byPartition []*protocol.ProduceRequest) []byte {
	next := make([]int64, len(byPartition))
	dst = append(dst, `,"offsets":[`...)
	for i := range p.records {
		partition := p.records[i].partition
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"partition":`...)
		dst = strconv.AppendInt(dst, int64(partition), 10)
		dst = append(dst, `,"offset":`...)
		if res := &byPartition[partition].Result; res.Err == nil {
			dst = strconv.AppendInt(dst, int64(res.BaseOffset)+next[partition], 10)
			next[partition]++
		} else {
			dst = append(dst, `null`...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
