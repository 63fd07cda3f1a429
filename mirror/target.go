package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ottla/client"
)

// Server is a server of the HTTP API: a client.Client.
type Server = client.Requester

// target is the cluster that is copied into.
type target struct {
	Server
	cluster  string
	patience time.Duration // how long a request is tried again
}

// pause between two tries of a request.
const pause = 200 * time.Millisecond

// wait waits, unless ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// ask sends a request that may be repeated, until it is answered, and decodes the answer.
// body is JSON, or nil.
func (t *target) ask(ctx context.Context, method, path string, query url.Values, headers map[string]string, body, reply any) error {
	a := client.Ask{Method: method, Path: path, Query: query, Headers: headers, Body: body, Patience: t.patience}
	return a.Send(ctx, t.Server, reply)
}

// code is that of an answer, "" if there was none.
func code(err error) string {
	var said *client.Error
	if errors.As(err, &said) {
		return said.Code
	}
	return ""
}

func (t *target) named() url.Values { return url.Values{"cluster": {t.cluster}} }

func (t *target) get(ctx context.Context, path string, query url.Values, reply any) error {
	return t.ask(ctx, http.MethodGet, path, query, nil, nil, reply)
}

func (t *target) post(ctx context.Context, path string, query url.Values, body, reply any) error {
	return t.ask(ctx, http.MethodPost, path, query, nil, body, reply)
}

// topicInfo is what is asked of a topic.
type topicInfo struct {
	Partitions []struct {
		Earliest *int64 `json:"earliest"`
		Latest   *int64 `json:"latest"`
	} `json:"partitions"`
}

// topic asks for a topic until the leaders of all its partitions have said where they
// begin and end; nil if there is none.
func (t *target) topic(ctx context.Context, name string) (*topicInfo, error) {
	deadline := time.Now().Add(t.patience)
	for {
		var info topicInfo
		err := t.get(ctx, "/topic/"+url.PathEscape(name), t.named(), &info)
		if code(err) == "topic_not_found" {
			return nil, nil //nolint:nilnil // there is no topic
		}
		if err != nil {
			return nil, err
		}
		missing := -1
		for i, p := range info.Partitions {
			if p.Earliest == nil || p.Latest == nil {
				missing = i
			}
		}
		switch {
		case missing < 0:
			return &info, nil
		case time.Now().After(deadline):
			return nil, fmt.Errorf("partition %d of topic %s has no leader", missing, name)
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// page is what a read of a partition returns.
type page struct {
	Records []struct {
		Offset  int64           `json:"offset"`
		Headers json.RawMessage `json:"headers"`
	} `json:"records"`
	Next     int64 `json:"next_offset"`
	Latest   int64 `json:"high_watermark"`
	Earliest int64 `json:"earliest"`
}

// read reads at most so many records of a partition from an offset on.
func (t *target) read(ctx context.Context, topic string, partition int, at int64, records int) (*page, error) {
	var p page
	q := t.named()
	q.Set("offset", strconv.FormatInt(at, 10))
	q.Set("max_records", strconv.Itoa(records))
	path := "/topic/" + url.PathEscape(topic) + "/partitions/" + strconv.Itoa(partition) + "/records"
	return &p, t.get(ctx, path, q, &p)
}

// limits are where a partition begins and ends.
func (t *target) limits(ctx context.Context, topic string, partition int) (earliest, latest int64, err error) {
	info, err := t.topic(ctx, topic)
	switch {
	case err != nil:
		return 0, 0, err
	case info == nil || partition >= len(info.Partitions):
		return 0, 0, fmt.Errorf("topic %s has no partition %d any more", topic, partition)
	}
	p := info.Partitions[partition]
	return *p.Earliest, *p.Latest, nil
}

// position is up to where a partition is copied: the end of the copy, and the offset at
// the source of the next record, 0 if nothing is copied.
func (t *target) position(ctx context.Context, topic string, partition int) (end, source int64, err error) {
	earliest, latest, err := t.limits(ctx, topic, partition)
	if err != nil || latest == 0 {
		return latest, 0, err
	}
	// The last one is nearly always the one before the end; compaction may have removed some.
	for step := int64(1); ; step *= 16 {
		from := max(earliest, latest-step)
		last, headers := int64(-1), json.RawMessage(nil)
		for at := from; at < latest; {
			p, err := t.read(ctx, topic, partition, at, 1000)
			if err != nil {
				return 0, 0, err
			}
			for _, r := range p.Records {
				last, headers = r.Offset, r.Headers
			}
			if p.Next <= at {
				break
			}
			at, latest = p.Next, max(latest, p.Latest)
		}
		switch {
		case last >= 0:
			copied, ok := sourceOffset(headers)
			if !ok {
				return 0, 0, fmt.Errorf("the record with offset %d has no header %s: somebody else writes to the topic, so nothing more is copied into it", last, OffsetHeader)
			}
			return latest, copied + 1, nil
		case from == earliest:
			return 0, 0, fmt.Errorf("all records of the copy are removed, so nothing says where to go on: delete the topic to copy it again")
		}
	}
}

// at finds the offset of the first copied record that has at least an offset at the source;
// the end if there is none.
func (t *target) at(ctx context.Context, topic string, partition int, source int64) (int64, error) {
	low, high, err := t.limits(ctx, topic, partition)
	for err == nil && low < high { // whatever is before low is before source; high is not
		middle := low + (high-low)/2
		var p *page
		if p, err = t.read(ctx, topic, partition, middle, 1); err != nil {
			break
		}
		if len(p.Records) == 0 || p.Records[0].Offset >= high { // none between
			high = middle
			continue
		}
		r := &p.Records[0]
		copied, ok := sourceOffset(r.Headers)
		switch {
		case !ok:
			high = middle // not of a mirror: behind what is copied
		case copied < source:
			low = r.Offset + 1
		default:
			high = middle
		}
	}
	return low, err
}
