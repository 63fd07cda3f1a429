package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"ottla/protocol"
)

const buryTimeout = 10 * time.Second

// bury writes records that cannot be delivered to the topic of dead letters. Each has
// an id that is made of where it came from, so that one that was written already, by
// whoever delivered it before, is not written again.
func (w *worker) bury(l *lane, u *unit, records []protocol.Record, reason string) *protocol.Error {
	deadline := time.Now().Add(buryTimeout)
	t, err := w.deadLetters(l.topic, deadline)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(w.sub.Group)) // the id of a producer has a bound
	group := hex.EncodeToString(sum[:8])
	for i := range records {
		r := &records[i]
		id := "key:dead-" + group + "-" + l.topicID + "-" + strconv.Itoa(l.partition) + "-" + strconv.FormatInt(int64(r.Offset), 10)
		h := fnv.New64a()
		_, _ = h.Write([]byte(id)) // a hash never fails
		key := r.Key
		if protocol.KindOfToken(key) == protocol.TokenNull {
			key = []byte(protocol.NullToken)
		}
		place := func(of int) []int {
			if string(key) == protocol.NullToken {
				return []int{int(h.Sum64() % uint64(of))}
			}
			return []int{protocol.PartitionForKey(key, of)}
		}
		by, again, err := w.d.b.Placed(t, &protocol.PlaceQuestion{ID: id, BodyHash: h.Sum64(), Partitions: place}, deadline)
		if err != nil {
			return err
		}
		req := &protocol.ProduceRequest{Topic: t, Partition: place(by.Partitions)[0], ProducerID: by.ID(id), BodyHash: h.Sum64(), Again: again}
		value, action := r.Value, protocol.ActionProduce
		if protocol.KindOfToken(value) == protocol.TokenNull {
			value, action = []byte(protocol.NullToken), protocol.ActionTombstone
		}
		req.Lines.Add(time.Now().UnixMilli(), t.Name, req.Partition, key, value, action, deadHeaders(l, r, u.attempts, reason))
		w.d.b.Produce([]*protocol.ProduceRequest{req}, deadline)
		if req.Result.Err != nil {
			return req.Result.Err
		}
	}
	return nil
}

// deadLetters is the topic of dead letters of a topic; it is made if it is not there.
func (w *worker) deadLetters(topic string, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	name := w.sub.DeadLetterTopic(topic)
	t, err := w.d.b.LookupTopic(w.sub.Cluster, name, false, deadline)
	if err == nil || err.Code != protocol.CodeTopicNotFound {
		return t, err
	}
	ctx, cancel := context.WithDeadline(w.ctx, deadline)
	defer cancel()
	if _, _, err := w.d.b.CreateTopic(ctx, &protocol.TopicSpec{Name: name, Cluster: w.sub.Cluster}); err != nil {
		return nil, err
	}
	return w.d.b.LookupTopic(w.sub.Cluster, name, false, deadline)
}

// deadPrefix begins the names of the headers that dead letters have.
const deadPrefix = "ottla-dead-"

// deadHeaders are the record's own headers, and where it came from and why it is here.
func deadHeaders(l *lane, r *protocol.Record, deliveries int, reason string) []byte {
	own := r.Headers
	if len(own) == 0 || string(own) == protocol.NullToken {
		own = []byte("{}")
	}
	why := [][2]string{
		{deadPrefix + "topic", l.topic},
		{deadPrefix + "partition", strconv.Itoa(l.partition)},
		{deadPrefix + "offset", strconv.FormatInt(int64(r.Offset), 10)},
		{deadPrefix + "deliveries", strconv.Itoa(deliveries)},
		{deadPrefix + "reason", reason},
	}
	if protocol.IsHeaderList(own) {
		return protocol.ExtendHeaderList(own, deadPrefix, why)
	}
	text := append([]byte{}, own[:len(own)-1]...)
	if strings.Contains(string(own), `"`+deadPrefix) { // it was a dead letter before: names must not be there twice
		text = withoutDead(own)
	}
	for _, h := range why {
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = protocol.AppendJSONString(text, h[0])
		text = protocol.AppendJSONString(append(text, ':'), h[1])
	}
	return append(text, '}')
}

// withoutDead is an object of headers, without its end, and without those of dead
// letters.
func withoutDead(own []byte) []byte {
	text := []byte{'{'}
	r := protocol.NewJSONReader(own)
	for r.Object(); r.Field(); {
		name := string(r.Key)
		v, ok := r.Value()
		if !ok || strings.HasPrefix(name, deadPrefix) {
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = protocol.AppendJSONString(text, name)
		text = append(append(text, ':'), v.Raw...)
	}
	return text
}

// clip bounds a reason.
func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "..."
	}
	return text
}
