package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// RestoreOptions say what is restored, and where.
type RestoreOptions struct {
	Dir      string
	Cluster  string            // into; it is made if it does not exist. Empty: of the name that it had
	As       map[string]string // new names of topics, by the old; nil: all topics, under their names
	Prefix   string            // before the names of topics and groups
	Patience time.Duration     // how long a request is tried again; 0: a minute
	Progress Progress
}

// Limits of a request, in records and bytes.
const (
	batchRecords = 1000
	batchBytes   = 1 << 20
)

// restorer restores one backup.
type restorer struct {
	*session
	o  RestoreOptions
	m  *Manifest
	id string // of the producer
}

// Restore restores topics with their records and groups. What is restored already, by one
// that was interrupted, stays. Errors: the backup is damaged; a topic of the name exists;
// those of the server.
func Restore(ctx context.Context, s Server, m *Manifest, o RestoreOptions) error {
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Cluster == "" {
		o.Cluster = m.Cluster.Name
	}
	for name := range o.As {
		if !m.has(name) {
			return fmt.Errorf("the backup has no topic %q", name)
		}
	}
	r := &restorer{session: newSession(s, o.Patience, o.Progress), o: o, m: m, id: "restore-" + m.Sum[:32]}
	brokers, err := r.cluster(ctx)
	if err != nil {
		return err
	}
	filled := []string{}
	for i := range m.Topics {
		t := &m.Topics[i]
		name, chosen := r.name(t.Name)
		if !chosen {
			continue
		}
		done, err := r.topicAs(ctx, t, name, brokers)
		if err != nil {
			return fmt.Errorf("topic %s: %w", name, err)
		}
		if !done {
			filled = append(filled, name)
		}
	}
	if err := r.groups(ctx, filled); err != nil {
		return err
	}
	for _, name := range filled { // nobody may see one before all of it is there
		err := r.ask(ctx, http.MethodPatch, "/topic/"+url.PathEscape(name), url.Values{"cluster": {o.Cluster}}, nil, map[string]any{"restoring": ""}, nil)
		if err != nil {
			return fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return nil
}

func (m *Manifest) has(topic string) bool {
	for i := range m.Topics {
		if m.Topics[i].Name == topic {
			return true
		}
	}
	return false
}

// name is that of a topic where it is restored; false if it is not to be.
func (r *restorer) name(topic string) (string, bool) {
	if r.o.As == nil {
		return r.o.Prefix + topic, true
	}
	as, chosen := r.o.As[topic]
	if as == "" {
		as = topic
	}
	return r.o.Prefix + as, chosen
}

// cluster makes the cluster where there is none, and returns how many brokers it has.
func (r *restorer) cluster(ctx context.Context) (brokers int, err error) {
	var have Cluster
	err = r.get(ctx, "/cluster/"+url.PathEscape(r.o.Cluster), nil, &have)
	if code(err) != "cluster_not_found" {
		return have.NumBrokers, err
	}
	spec := r.m.Cluster
	spec.Name = r.o.Cluster
	err = r.ask(ctx, http.MethodPost, "/cluster", nil, nil, &spec, &have)
	return have.NumBrokers, err
}

// topicAs fills a topic; done says that it was complete before.
func (r *restorer) topicAs(ctx context.Context, t *Topic, name string, brokers int) (done bool, err error) {
	starts := make([]int64, len(t.Partitions))
	for i := range t.Partitions {
		starts[i] = t.Partitions[i].Start
	}
	settings := t.Settings
	settings.ReplicationFactor = min(settings.ReplicationFactor, brokers)
	spec := struct {
		Name       string  `json:"name"`
		Cluster    string  `json:"cluster"`
		Partitions int     `json:"partitions"`
		Restoring  string  `json:"restoring"`
		Starts     []int64 `json:"start_offsets"`
		Settings
	}{name, r.o.Cluster, len(starts), r.id, starts, settings}
	if err := r.ask(ctx, http.MethodPost, "/topic", nil, nil, &spec, nil); err != nil {
		return false, err
	}
	info, err := r.topic(ctx, r.o.Cluster, name)
	if err != nil {
		return false, err
	}
	if info.Restoring == "" {
		return true, nil // by this restore, else it would be another topic
	}
	for n := range t.Partitions {
		if err := r.fill(ctx, name, n, &t.Partitions[n], *info.Partitions[n].Latest); err != nil {
			return false, fmt.Errorf("partition %d: %w", n, err)
		}
	}
	return false, nil
}

// filler writes the records of a partition.
type filler struct {
	*restorer
	topic     string
	partition int
	at        int64 // the offset of the next record to be written
	first     int64 // of the batch
	batch     []json.RawMessage
	size      int
}

// fill writes the records of a partition from an offset on.
func (r *restorer) fill(ctx context.Context, topic string, number int, p *Partition, from int64) error {
	f := &filler{restorer: r, topic: topic, partition: number, at: max(from, p.Start), first: max(from, p.Start)}
	err := p.each(r.o.Dir, f.at, func(l *line, raw []byte) error {
		for f.at < l.Offset {
			if err := f.skip(ctx, p, l); err != nil {
				return err
			}
		}
		return f.add(ctx, l)
	})
	if err != nil {
		return err
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	if f.at < p.End {
		return fmt.Errorf("the backup ends at offset %d, and should at %d", f.at, p.End)
	}
	return nil
}

// each goes through the records of a partition from an offset on, up to its end.
func (p *Partition) each(dir string, from int64, each func(*line, []byte) error) error {
	at := from
	for i := range p.Files {
		if p.Files[i].Next <= from {
			continue
		}
		err := p.Files[i].scan(dir, func(l *line, raw []byte) error {
			if l.Offset < at || l.Offset >= p.End {
				return nil
			}
			at = l.Offset + 1
			return each(l, raw)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// errFound ends a search.
var errFound = errors.New("found")

// skip writes, in the place of a record that compaction has removed, a tombstone of a key
// that a later record has, so that compaction removes it again. Next is the record after
// the gap.
func (f *filler) skip(ctx context.Context, p *Partition, next *line) error {
	stone := line{Timestamp: next.Timestamp, Value: json.RawMessage("null"), Key: next.Key, KeyText: next.KeyText, KeyBase64: next.KeyBase64}
	if !next.keyed() {
		err := p.each(f.o.Dir, next.Offset, func(l *line, _ []byte) error {
			if !l.keyed() {
				return nil
			}
			stone.Key, stone.KeyText, stone.KeyBase64 = append(json.RawMessage(nil), l.Key...), l.KeyText, l.KeyBase64
			return errFound
		})
		switch {
		case err == nil: // it goes as tombstones do
			text := "removed by compaction"
			stone.KeyText = &text
		case !errors.Is(err, errFound):
			return err
		}
	}
	stone.Offset = f.at
	return f.add(ctx, &stone)
}

// add writes a record, with others.
func (f *filler) add(ctx context.Context, l *line) error {
	sent := struct {
		line
		Offset    *int64 `json:"offset,omitempty"` // not sent
		Partition int    `json:"partition"`
	}{line: *l, Partition: f.partition}
	if sent.KeyText != nil || sent.KeyBase64 != nil || len(sent.Key) > 0 && string(sent.Key) == "null" {
		sent.Key = nil
	}
	if sent.Text != nil || sent.Base64 != nil {
		sent.Value = nil
	}
	if string(sent.Headers) == "{}" {
		sent.Headers = nil
	}
	raw, err := json.Marshal(&sent)
	if err != nil {
		return err
	}
	if len(f.batch) > 0 && (len(f.batch) == batchRecords || f.size+len(raw) > batchBytes) {
		if err := f.flush(ctx); err != nil {
			return err
		}
	}
	f.batch, f.size, f.at = append(f.batch, raw), f.size+len(raw), l.Offset+1
	return nil
}

// flush sends the batch. It may be sent again: the server knows it by its number.
func (f *filler) flush(ctx context.Context) error {
	if len(f.batch) == 0 {
		return nil
	}
	body := map[string]any{"topic": f.topic, "cluster": f.o.Cluster, "records": f.batch}
	headers := map[string]string{"Producer-Id": f.id, "Producer-Epoch": "0", "Producer-Seq": strconv.FormatInt(f.first+1, 10)}
	var reply struct {
		Partitions []struct {
			Base  int64 `json:"base_offset"`
			Count int   `json:"count"`
		}
	}
	if err := f.ask(ctx, http.MethodPost, "/events", nil, headers, body, &reply); err != nil {
		return err
	}
	if len(reply.Partitions) != 1 || reply.Partitions[0].Base != f.first || reply.Partitions[0].Count != len(f.batch) {
		return fmt.Errorf("records from offset %d on came to another place (%+v): somebody else has written to the topic; delete it, and restore it again", f.first, reply.Partitions)
	}
	f.progress(f.topic, int64(len(f.batch)))
	f.first, f.batch, f.size = f.at, f.batch[:0], 0
	return nil
}

// groups makes groups have the offsets that they had of topics that are restored.
func (r *restorer) groups(ctx context.Context, filled []string) error {
	names := map[string]bool{}
	for _, name := range filled {
		names[name] = true
	}
	for _, g := range r.m.Groups {
		for _, o := range g.Offsets {
			name, chosen := r.name(o.Topic)
			if !chosen || !names[name] {
				continue
			}
			body := map[string]any{"topic": name, "partition": o.Partition, "to": o.Offset, "create": true}
			if o.Metadata != "" {
				body["metadata"] = o.Metadata
			}
			path := "/groups/" + url.PathEscape(r.o.Prefix+g.Name) + "/seek"
			if err := r.ask(ctx, http.MethodPost, path, url.Values{"cluster": {r.o.Cluster}}, nil, body, nil); err != nil {
				return fmt.Errorf("group %s: %w", g.Name, err)
			}
		}
	}
	return nil
}
