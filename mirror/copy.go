package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/protocol"
)

// Bounds of one request, and of the time between two looks for new records.
const (
	batchRecords = 5000
	batchBytes   = 2 << 20
	restMin      = 100 * time.Millisecond
	restMax      = time.Second
)

// producer is the id under which a partition is written: the same for every mirror of it.
func (m *Mirror) producer(topic string, partition int) string {
	sum := sha256.Sum256([]byte(m.id + "\n" + topic + "\n" + strconv.Itoa(partition)))
	return "mirror-" + hex.EncodeToString(sum[:16])
}

// copier copies one partition.
type copier struct {
	*Mirror
	topic     *sourceTopic
	partition int
	producer  string
	slots     chan struct{} // taken while something is in memory

	at   int64 // offset at the source of the next record
	last int64 // offset at the source of the last record of the copy, -1 if it has none
	end  int64 // of the copy
}

// run copies the partition up to the end that it had, or for ever.
func (c *copier) run(ctx context.Context) error {
	if err := c.find(ctx); err != nil {
		return err
	}
	if end := c.topic.ends[c.partition]; c.at > end {
		return fmt.Errorf("records up to offset %d of the source are copied, and it ends at %d: it is another topic of the same name, or has lost records", c.at-1, end)
	}
	for rest := restMin; c.o.Follow || c.at < c.topic.ends[c.partition]; {
		before := c.at
		if err := c.step(ctx); err != nil {
			return err
		}
		if c.at > before {
			rest = restMin
			continue
		}
		if err := wait(ctx, rest); err != nil {
			return err
		}
		rest = min(2*rest, restMax)
	}
	return nil
}

// find reads up to where the partition is copied.
func (c *copier) find(ctx context.Context) (err error) {
	c.end, c.at, err = c.target.position(ctx, c.topic.name, c.partition)
	c.last = c.at - 1
	if err == nil && c.at == 0 {
		c.at = c.topic.starts[c.partition]
	}
	return err
}

// step copies what one fetch returns.
func (c *copier) step(ctx context.Context) error {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	records, next, err := c.source.fetch(ctx, c.topic, c.partition, c.at)
	if errors.Is(err, errMoved) {
		return c.skip(ctx)
	}
	if err != nil {
		return err
	}
	for len(records) > 0 {
		body, n, err := c.batch(records)
		if err != nil {
			return err
		}
		if again, err := c.send(ctx, body, n, records[n-1].Offset); err != nil || again {
			return err
		}
		records = records[n:]
	}
	c.at = max(c.at, next) // behind what is no record: markers of transactions, what compaction removed
	return nil
}

// skip goes on where the source begins, if it has removed records that were not copied.
func (c *copier) skip(ctx context.Context) error {
	starts, err := c.source.offsets(ctx, c.topic, -2)
	if err != nil {
		return err
	}
	start := starts[c.partition]
	if start <= c.at {
		return fmt.Errorf("source: it has no offset %d, though it begins at %d: it has lost records", c.at, start)
	}
	c.note(fmt.Sprintf("topic %s, partition %d: the source has removed the records from offset %d to %d before they were copied", c.topic.name, c.partition, c.at, start-1))
	c.at = start
	return nil
}

// batch is the request for the first n records.
func (c *copier) batch(records []*kgo.Record) (body []byte, n int, err error) {
	body = append(body, `{"topic":`...)
	body = protocol.AppendJSONString(body, []byte(c.topic.name))
	body = protocol.AppendJSONString(append(body, `,"cluster":`...), []byte(c.o.Cluster))
	body = append(body, `,"records":[`...)
	for n < len(records) && n < batchRecords {
		before := len(body)
		if n > 0 {
			body = append(body, ',')
		}
		if body, err = appendRecord(body, records[n]); err != nil {
			return nil, 0, fmt.Errorf("record with offset %d: %w", records[n].Offset, err)
		}
		if n > 0 && len(body) > batchBytes {
			body = body[:before]
			break
		}
		n++
	}
	return append(body, `]}`...), n, nil
}

// send writes a batch of n records that ends with an offset of the source. again says that
// another mirror has written meanwhile, or one try of this one whose answer was lost: then
// the position was read again.
func (c *copier) send(ctx context.Context, body []byte, n int, last int64) (again bool, err error) {
	headers := map[string]string{"Producer-Id": c.producer, "Producer-Epoch": "0", "Producer-Seq": strconv.FormatInt(c.last+2, 10), "Content-Type": "application/json"}
	var reply struct {
		Duplicate  bool
		Partitions []struct {
			Base  int64 `json:"base_offset"`
			Count int   `json:"count"`
		}
	}
	err = c.target.ask(ctx, http.MethodPost, "/events", nil, headers, body, &reply)
	before := c.end
	switch {
	case code(err) == "stale_sequence", err == nil && reply.Duplicate:
		if err := c.find(ctx); err != nil {
			return false, err
		}
		c.copied(c.end - before)
		return true, nil
	case err != nil:
		return false, fmt.Errorf("records with offsets %d to %d of the source: %w", c.at, last, err)
	case len(reply.Partitions) != 1 || reply.Partitions[0].Count != n:
		return false, fmt.Errorf("%d records from offset %d of the source on were sent, and the answer is of others", n, c.at)
	case reply.Partitions[0].Base != c.end:
		return false, errSomebodyElse
	}
	c.at, c.last, c.end = last+1, last, c.end+int64(n)
	c.copied(int64(n))
	return false, nil
}
