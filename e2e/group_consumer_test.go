package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deliveries is what all members of a group were given, held against what was
// acknowledged to producers.
type deliveries struct {
	mu    sync.Mutex
	times map[string]int
	bad   []string // answers that no member may get
}

func newDeliveries() *deliveries { return &deliveries{times: map[string]int{}} }

func (d *deliveries) add(records []record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range records {
		d.times[string(r.Value)]++
	}
}

func (d *deliveries) complain(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = append(d.bad, fmt.Sprintf(format, args...))
}

// missing counts the values that nobody was given yet.
func (d *deliveries) missing(values []string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, v := range values {
		if d.times[v] == 0 {
			n++
		}
	}
	return n
}

func (d *deliveries) twice() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var twice []string
	for v, n := range d.times {
		if n > 1 {
			twice = append(twice, fmt.Sprintf("%s %d times", v, n))
		}
	}
	return twice
}

// consumer is a member of a group that polls in a loop until its context ends.
// Without ack it commits automatically.
type consumer struct {
	s     *server
	id    int64
	query string // topic=...&group=...
	ack   bool
	to    *deliveries
	// onError tells whether a failed poll is to be expected.
	onError func(status int, body []byte, err error) bool
}

// poll is one GET /events that ends with ctx: the connection is closed then,
// as that of a process that was killed.
func (c *consumer) poll(ctx context.Context, more string) (p polled, status int, body []byte, err error) {
	url := fmt.Sprintf("%s/events?%s&consumer_id=%d%s", c.s.base, c.query, c.id, more)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return p, 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return p, 0, nil, err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return p, 0, nil, err
	}
	if resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(body, &p)
	}
	return p, resp.StatusCode, body, err
}

func (c *consumer) run(ctx context.Context) {
	cursor := ""
	for ctx.Err() == nil {
		more := ""
		if c.ack {
			more = "&auto_commit=false" + cursor
		}
		p, status, body, err := c.poll(ctx, more)
		switch {
		case ctx.Err() != nil && err != nil:
			return
		case err == nil && status == http.StatusOK:
			c.to.add(p.Records)
			if cursor = ""; c.ack && p.Cursor != "" {
				cursor = "&ack=" + p.Cursor
			}
			continue
		case c.ack && status == http.StatusConflict: // rebalanced: from what is committed
		case c.onError != nil && c.onError(status, body, err):
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		default:
			c.to.complain("consumer %d got %d %s %v", c.id, status, body, err)
			return
		}
		cursor = ""
	}
}

// member starts a consumer and returns what ends it as kill -9 would.
func (s *server) member(ctx context.Context, c *consumer) (vanish func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	c.s = s
	go func() {
		defer close(done)
		c.run(ctx)
	}()
	end := func() { cancel(); <-done }
	s.root.Cleanup(end)
	return end
}

// produceAll sends n records in batches, spread round-robin, and returns their
// values.
func (s *server) produceAll(topic, prefix string, n int) []string {
	s.t.Helper()
	var all []string
	for len(all) < n {
		var records []object
		for range min(50, n-len(all)) {
			v := fmt.Sprintf("%s-%d", prefix, len(all))
			records = append(records, object{"value": v})
			all = append(all, fmt.Sprintf("%q", v))
		}
		s.post("/events", object{"topic": topic, "records": records}).want(http.StatusOK)
	}
	return all
}

// delivered waits until all values have arrived somewhere.
func (s *server) delivered(d *deliveries, all []string) {
	s.t.Helper()
	s.eventually(60*time.Second, "everything is delivered", func() error {
		if n := d.missing(all); n > 0 {
			return fmt.Errorf("%d of %d are missing", n, len(all))
		}
		return nil
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	assert.Empty(s.t, d.bad)
}

// settled waits until the members are these, and own what is to be owned.
func (s *server) settled(group string, partitions int, ids ...int64) map[int64]int {
	s.t.Helper()
	var share map[int64]int
	s.eventually(waitTimeout, fmt.Sprintf("group %s is %v", group, ids), func() error {
		share = map[int64]int{}
		members, owned := s.members(group), 0
		for _, m := range members {
			share[m.ConsumerID] = len(m.Assignment)
			owned += len(m.Assignment)
		}
		for _, id := range ids {
			if _, ok := share[id]; !ok {
				return fmt.Errorf("%d is missing: %v", id, share)
			}
		}
		if len(members) != len(ids) || owned != partitions {
			return fmt.Errorf("%v", share)
		}
		return nil
	})
	return share
}

func TestThreeMembersOverSixPartitions(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("six", 6)
	d := newDeliveries()
	for id := int64(1); id <= 3; id++ {
		s.member(t.Context(), &consumer{id: id, query: "topic=six&group=g", to: d})
	}
	share := s.settled("g", 6, 1, 2, 3)
	assert.Equal(t, map[int64]int{1: 2, 2: 2, 3: 2}, share, "an exact split")
	all := s.produceAll("six", "v", 1000)
	s.delivered(d, all)
	assert.Empty(t, d.twice(), "auto_commit delivers once")
	for p := range 6 {
		assert.Equal(t, int64(len(s.readPartition("six", p))), s.committed("g", "six", p))
	}
}

func TestJoinsAndLeavesUnderLoad(t *testing.T) {
	t.Parallel()
	for _, ack := range []bool{false, true} {
		t.Run(fmt.Sprintf("ack %v", ack), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.topic("churn", 6)
			d := newDeliveries()
			join := func(id int64) func() {
				return s.member(t.Context(), &consumer{id: id, query: "topic=churn&group=g&max_records=7", ack: ack, to: d})
			}
			join(1)
			var all []string
			for round := range 6 {
				all = append(all, s.produceAll("churn", fmt.Sprint("a", round), 150)...)
				two, three := join(2), join(3)
				s.settled("g", 6, 1, 2, 3)
				all = append(all, s.produceAll("churn", fmt.Sprint("b", round), 150)...)
				// Whoever leaves has finished its poll: nothing is on its way to it.
				if !ack {
					s.delivered(d, all)
				}
				two()
				three()
				s.delete("/groups/g/members/2")
				s.delete("/groups/g/members/3")
				s.settled("g", 6, 1)
			}
			s.delivered(d, all)
			if !ack {
				assert.Empty(t, d.twice(), "auto_commit delivers once")
				return
			}
			s.eventually(waitTimeout, "the last cursors are acknowledged", func() error {
				total := int64(0)
				for p := range 6 {
					total += s.committed("g", "churn", p)
				}
				if total != int64(len(all)) {
					return fmt.Errorf("committed %d of %d", total, len(all))
				}
				return nil
			})
		})
	}
}

func TestSeveralTopicsInOneSubscription(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("one", 2)
	s.topic("two", 3)
	d := newDeliveries()
	s.member(t.Context(), &consumer{id: 1, query: "topic=one&topic=two&group=g", to: d})
	s.member(t.Context(), &consumer{id: 2, query: "topic=two&group=g", to: d})
	s.settled("g", 5, 1, 2)
	share := map[string]int64{}
	for name, id := range s.owners("g") {
		share[name] = id
	}
	assert.Equal(t, int64(1), share["one-0"])
	assert.Equal(t, int64(1), share["one-1"])
	all := append(s.produceAll("one", "x", 100), s.produceAll("two", "y", 100)...)
	s.delivered(d, all)
	require.Empty(t, d.twice())
}
