package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ottla/protocol"
)

// wire encodes batches as requests and decodes answers. It belongs to one lane and
// reuses its buffers.
type wire struct {
	client         *Client
	id             string
	epoch, seq     int64
	plain, offsets string // paths: without and with the offset of every record in the answer
	headers        map[string]string
	compress       func(dst, src []byte) ([]byte, error) // nil: no compression

	packed []byte
	answer []byte
	acks   []Ack // of the answer, in the order of the request; Offset -1: failed
}

// compressWith sets the encoder.
func (w *wire) compressWith(c Compression) error {
	switch c {
	case NoCompression:
	case Gzip:
		var out bytes.Buffer
		z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		if err != nil {
			return fmt.Errorf("client: gzip: %w", err)
		}
		w.compress = func(dst, src []byte) ([]byte, error) {
			out.Reset()
			z.Reset(&out)
			_, err := z.Write(src)
			err = errors.Join(err, z.Close())
			return append(dst, out.Bytes()...), err
		}
	case Zstd:
		// The same window as the server's; few batches are larger.
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return fmt.Errorf("client: zstd: %w", err)
		}
		w.compress = func(dst, src []byte) ([]byte, error) { return z.EncodeAll(src, dst), nil }
	default:
		return fmt.Errorf("client: unknown compression %d", c)
	}
	return nil
}

// begin makes a new request with the next sequence.
func (w *wire) begin(b *batch) (*request, error) {
	w.seq++
	r := &request{method: http.MethodPost, path: w.plain, body: b.body, headers: w.headers}
	w.headers["Producer-Seq"] = strconv.FormatInt(w.seq, 10)
	if b.acks {
		r.path = w.offsets
	}
	if w.compress == nil {
		return r, nil
	}
	var err error
	w.packed, err = w.compress(w.packed[:0], b.body)
	r.body = w.packed
	if err != nil {
		return nil, fmt.Errorf("client: compress: %w", err)
	}
	return r, nil
}

// partial is the answer to a batch that failed on some partitions.
type partial struct {
	worst     *Error // an error that is not retriable if there is one, else any
	retriable bool   // all errors are retriable
}

// post sends the request of a batch once. If both results are nil, all of it is
// committed.
func (w *wire) post(ctx context.Context, r *request, b *batch) (*partial, error) {
	var err error
	w.answer, err = w.client.send(ctx, r, w.answer[:0])
	if err != nil {
		return nil, err
	}
	w.acks = w.acks[:0]
	committed, duplicate := false, false
	var p *partial
	d := decoder{r: protocol.NewJSONReader(w.answer)}
	for d.r.Object(); d.r.Field(); {
		switch string(d.r.Key) {
		case "committed":
			committed = d.bool("committed")
		case "duplicate":
			duplicate = d.bool("duplicate")
		case "partitions":
			p = d.partitions()
		case "offsets":
			w.acks = d.places(w.acks)
		default:
			d.r.Value()
		}
	}
	if err := d.end(); err != nil {
		return nil, &TransportError{err}
	}
	if !committed && p == nil {
		return nil, &TransportError{fmt.Errorf("%w: it says neither committed nor what failed", ErrGarbled)}
	}
	if b.acks && len(w.acks) != len(b.lines) {
		return nil, fmt.Errorf("%w: it places %d records of %d", ErrGarbled, len(w.acks), len(b.lines))
	}
	for i := range w.acks {
		w.acks[i].Duplicate = duplicate
	}
	return p, nil
}

// partitions decodes the errors of partitions; nil if there are none.
func (d *decoder) partitions() *partial {
	var p *partial
	for d.r.Array(); d.r.Element(); {
		number, failure := int64(-1), protocol.JSONValue{}
		for d.r.Object(); d.r.Field(); {
			switch string(d.r.Key) {
			case "partition":
				number = d.int64("partition")
			case "error":
				failure, _ = d.r.Value()
			default:
				d.r.Value()
			}
		}
		if failure.Raw == nil {
			continue
		}
		e := decodeError(&http.Response{StatusCode: http.StatusMultiStatus, Status: "207 Multi-Status"}, failure.Raw)
		if number >= 0 {
			e.Message = fmt.Sprintf("partition %d: %s", number, e.Message)
		}
		if p == nil {
			p = &partial{worst: e, retriable: true}
		}
		if !e.Retriable {
			p.worst, p.retriable = e, false
		}
	}
	return p
}

// places decodes the offsets of the records of a batch.
func (d *decoder) places(acks []Ack) []Ack {
	for d.r.Array(); d.r.Element(); {
		ack := Ack{Offset: -1}
		for d.r.Object(); d.r.Field(); {
			switch string(d.r.Key) {
			case "partition":
				ack.Partition = int(d.int64("partition"))
			case "offset":
				if d.r.Kind() == 'n' {
					d.r.Value() // null: not written
				} else {
					ack.Offset = d.int64("offset")
				}
			default:
				d.r.Value()
			}
		}
		acks = append(acks, ack)
	}
	return acks
}
