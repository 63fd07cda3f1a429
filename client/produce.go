package client

import (
	"context"
	"fmt"
	"net/http"

	"ottla/protocol"
)

// Produce writes one record and returns when it is committed. It sends the record
// once. After a failure with an unknown outcome, sending it again may write it
// twice; a [Producer] avoids that.
func (c *Client) Produce(ctx context.Context, topic string, r Record) (Ack, error) {
	return c.ProduceIn(ctx, "", topic, r)
}

// ProduceIn is Produce for a topic that several clusters have.
func (c *Client) ProduceIn(ctx context.Context, cluster, topic string, r Record) (Ack, error) {
	return c.ProduceOnce(ctx, cluster, topic, "", r)
}

// ProduceOnce is ProduceIn under an idempotency key of 1 to 200 printable ASCII
// characters: what was written under the same key within the last ten minutes is not
// written again, and the first Ack is returned.
func (c *Client) ProduceOnce(ctx context.Context, cluster, topic, key string, r Record) (Ack, error) {
	body := append([]byte(`{"topic":`), protocol.AppendJSONString(nil, topic)...)
	if cluster != "" {
		body = appendName(body, "cluster", false)
		body = protocol.AppendJSONString(body, cluster)
	}
	body, _, err := r.append(body, true)
	if err != nil {
		return Ack{}, err
	}
	req := &request{method: http.MethodPost, path: "/events", body: append(body, '}')}
	if key != "" {
		req.headers = map[string]string{"Idempotency-Key": key}
	}
	answer, err := c.send(ctx, req, nil)
	if err != nil {
		return Ack{}, fmt.Errorf("produce to %s: %w", topic, err)
	}
	var ack Ack
	d := decoder{r: protocol.NewJSONReader(answer)}
	for d.r.Object(); d.r.Field(); {
		switch string(d.r.Key) {
		case "partition":
			ack.Partition = int(d.int64("partition"))
		case "offset":
			ack.Offset = d.int64("offset")
		case "duplicate":
			ack.Duplicate = d.bool("duplicate")
		default:
			d.r.Value()
		}
	}
	return ack, d.end()
}
