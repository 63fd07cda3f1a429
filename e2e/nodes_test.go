package e2e

import (
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// linkFence is how old a read by way of any node may be.
const linkFence = 300 * time.Millisecond

// nodeSet is a fleet of processes that show each other certificates.
type nodeSet struct {
	t     *testing.T
	certs string
	nodes []*server
	seeds []string
}

// prepareNodes prepares a fleet without starting it.
func prepareNodes(t *testing.T, n int) *nodeSet {
	f := &nodeSet{t: t, certs: filepath.Join(t.TempDir(), "certs")}
	for range n {
		f.seeds = append(f.seeds, freeAddress(t))
	}
	slices.Sort(f.seeds) // founders are numbered in this order
	for i := range n {
		f.nodes = append(f.nodes, f.node(fmt.Sprintf("n%d", i+1), f.seeds[i], f.seeds...))
	}
	return f
}

// startNodes founds a fleet of n nodes.
func startNodes(t *testing.T, n int) *nodeSet {
	f := prepareNodes(t, n)
	for _, i := range rand.Perm(n) {
		f.nodes[i].launch()
	}
	f.waitReady()
	return f
}

// node prepares a node with a certificate, and an address that it keeps.
func (f *nodeSet) node(name, link string, seeds ...string) *server {
	f.t.Helper()
	if _, err := os.Stat(filepath.Join(f.certs, name+".pem")); err != nil {
		out, err := exec.Command(binary, "node", "cert", name, "--dir", f.certs).CombinedOutput()
		require.NoError(f.t, err, "%s", out)
	}
	s := prepare(f.t)
	s.args = []string{
		"--listen", freeAddress(f.t), "--link", link, "--seeds", strings.Join(seeds, ","), "--node-name", name,
		"--link-cert", filepath.Join(f.certs, name+".pem"), "--link-key", filepath.Join(f.certs, name+".key"), "--link-ca", filepath.Join(f.certs, "ca.pem"),
	}
	return s
}

// waitReady waits until all nodes are ready, and nothing is degraded.
func (f *nodeSet) waitReady() {
	f.t.Helper()
	for _, s := range f.nodes {
		s.waitReady()
	}
	for _, s := range f.nodes {
		s.eventually(waitTimeout, "nothing is degraded", func() error {
			a, err := s.try(http.MethodGet, "/readyz", nil)
			if err == nil && (a.status != http.StatusOK || !strings.Contains(string(a.body), `"degraded":[]`)) {
				return fmt.Errorf("readyz: %d %s", a.status, a.body)
			}
			return err
		})
	}
}

// nodeClient asks one node after another until one gives an answer.
type nodeClient struct {
	f  *nodeSet
	at int // of the node that is asked next
}

// ask returns the first answer that does not ask to try again; it fails the test when there is none in time.
func (c *nodeClient) ask(method, path string, body any, headers ...string) *answer {
	deadline := time.Now().Add(waitTimeout)
	for {
		a, err := c.f.nodes[c.at].try(method, path, body, headers...)
		if err == nil && a.status < http.StatusInternalServerError && a.status != http.StatusTooManyRequests {
			return a
		}
		if time.Now().After(deadline) {
			if err == nil {
				err = fmt.Errorf("%d %s", a.status, a.body)
			}
			assert.Fail(c.f.t, "no node answers", "%s %s: %v", method, path, err)
			return nil
		}
		c.at = (c.at + 1) % len(c.f.nodes)
		<-time.After(2 * time.Millisecond) // as a client does that tries again
	}
}

// nodeLoad is a number of producers at all nodes, each with an order of its own.
type nodeLoad struct {
	f     *nodeSet
	topic string
	parts int
	stop  context.CancelFunc
	done  sync.WaitGroup
	sent  []atomic.Int64 // by producer, what is acknowledged
	ends  []atomic.Int64 // by partition, the end that acknowledgements have shown
	slow  atomic.Int64   // the longest time that a record took with all tries, in nanoseconds
}

func (f *nodeSet) load(topic string, parts, producers int) *nodeLoad {
	ctx, cancel := context.WithCancel(context.Background())
	l := &nodeLoad{f: f, topic: topic, parts: parts, stop: cancel, sent: make([]atomic.Int64, producers), ends: make([]atomic.Int64, parts)}
	f.t.Cleanup(func() { // also after a failure: nothing may fail in a test that is over
		cancel()
		l.done.Wait()
	})
	for p := range producers {
		l.done.Go(func() { l.run(ctx, p) })
	}
	return l
}

func (l *nodeLoad) run(ctx context.Context, p int) {
	c, part := &nodeClient{f: l.f, at: p % len(l.f.nodes)}, p%l.parts
	for seq := 1; ctx.Err() == nil; seq++ {
		began := time.Now()
		a := c.ask(http.MethodPost, "/events", object{"topic": l.topic, "partition": part, "value": fmt.Sprintf("%d-%d", p, seq)},
			"Producer-Id", fmt.Sprintf("p%d", p), "Producer-Epoch", "0", "Producer-Seq", strconv.Itoa(seq))
		if a == nil || !assert.Equal(l.f.t, http.StatusOK, a.status, "%s", a.body) {
			return
		}
		var at produced
		a.loosely(&at)
		l.sent[p].Store(int64(seq))
		for took := int64(time.Since(began)); ; {
			if slow := l.slow.Load(); slow >= took || l.slow.CompareAndSwap(slow, took) {
				break
			}
		}
		for {
			end := l.ends[part].Load()
			if end > at.Offset || l.ends[part].CompareAndSwap(end, at.Offset+1) {
				break
			}
		}
	}
}

func (l *nodeLoad) total() (n int64) {
	for p := range l.sent {
		n += l.sent[p].Load()
	}
	return n
}

// seen are the ends that acknowledgements have shown, by partition.
func (l *nodeLoad) seen() []int64 {
	ends := make([]int64, l.parts)
	for p := range ends {
		ends[p] = l.ends[p].Load()
	}
	return ends
}

// advance waits until so many more records are acknowledged.
func (l *nodeLoad) advance(n int64) {
	l.f.t.Helper()
	want := l.total() + n
	require.Eventually(l.f.t, func() bool { return l.total() >= want }, waitTimeout, time.Millisecond)
}

// check ends the load. By way of each node, each producer's records must be there
// once and in order.
func (l *nodeLoad) check() {
	l.f.t.Helper()
	l.stop()
	l.done.Wait()
	for _, s := range l.f.nodes {
		last := make([]int64, len(l.sent))
		for part := range l.parts {
			for _, r := range s.readPartition(l.topic, part) {
				var p int
				var seq int64
				_, err := fmt.Sscanf(string(r.Value), `"%d-%d"`, &p, &seq)
				require.NoError(l.f.t, err)
				require.Equal(l.f.t, last[p]+1, seq, "next record of producer %d, at %d-%d", p, part, r.Offset)
				last[p] = seq
			}
		}
		for p := range l.sent {
			require.Equal(l.f.t, l.sent[p].Load(), last[p], "records of producer %d", p)
		}
	}
}

// group consumes by way of one node after another until ctx ends and all is
// committed, and says what it got.
func (l *nodeLoad) group(ctx context.Context) (values []string) {
	c, ack := &nodeClient{f: l.f}, ""
	for ctx.Err() == nil || !l.consumed(c) {
		a := c.ask(http.MethodGet, eventsPath("topic="+l.topic, "group=g", "consumer_id=1", "auto_commit=false", "timeout_ms=200", "max_records=500")+ack, nil)
		if a == nil {
			return values
		}
		if ack = ""; a.status != http.StatusOK { // a cursor of an older generation: again from what is committed
			continue
		}
		var p polled
		a.loosely(&p)
		values = append(values, valuesOf(p.Records)...)
		if p.Cursor != "" {
			ack = "&ack=" + p.Cursor
		}
		c.at = (c.at + 1) % len(l.f.nodes)
	}
	return values
}

// consumed reports whether the group has committed all.
func (l *nodeLoad) consumed(c *nodeClient) bool {
	a := c.ask(http.MethodGet, "/offset?group=g&topic="+l.topic, nil)
	if a == nil {
		return true // the test has failed
	}
	var list struct {
		Offsets []struct {
			Committed *int64 `json:"committed"`
			End       int64  `json:"end"`
		} `json:"offsets"`
	}
	a.loosely(&list)
	for _, o := range list.Offsets {
		if o.Committed == nil || *o.Committed < o.End {
			return false
		}
	}
	return len(list.Offsets) == l.parts
}

func valuesOf(records []record) (list []string) {
	for _, r := range records {
		list = append(list, string(r.Value))
	}
	return list
}

// watch reads committed offsets by way of all nodes: they never go back.
func (l *nodeLoad) watch(ctx context.Context) {
	c, seen := &nodeClient{f: l.f}, make([]int64, l.parts)
	for ctx.Err() == nil {
		a := c.ask(http.MethodGet, "/offset?group=g&topic="+l.topic, nil)
		if a == nil {
			return
		}
		if a.status != http.StatusOK {
			assert.Equal(l.f.t, http.StatusNotFound, a.status, "%s", a.body) // the group has not begun
			assert.Equal(l.f.t, make([]int64, l.parts), seen, "the group is not found any more")
			continue
		}
		var list struct {
			Offsets []struct {
				Partition int    `json:"partition"`
				Committed *int64 `json:"committed"`
			} `json:"offsets"`
		}
		a.loosely(&list)
		for _, o := range list.Offsets {
			if o.Committed == nil {
				continue
			}
			if !assert.GreaterOrEqual(l.f.t, *o.Committed, seen[o.Partition], "committed offset of partition %d", o.Partition) {
				return
			}
			seen[o.Partition] = *o.Committed
		}
		c.at = (c.at + 1) % len(l.f.nodes)
		<-time.After(5 * time.Millisecond) // between two looks
	}
}

// Every node does everything; one that is killed comes back; nobody notices but by
// the time that it takes.
func TestAnyNodeAnswersAndMayBeKilled(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	for i, s := range f.nodes {
		next := f.nodes[(i+1)%3]
		name := fmt.Sprintf("topic-%d", i)
		s.topic(name, 2)
		at := next.produce(name, object{"partition": 1, "value": i})
		require.Equal(t, strconv.Itoa(i), string(s.fetch(name, 1, at.Offset, "").Records[0].Value))
		polledOnce := next.poll("topic="+name, "group=once", "auto_commit=true", "timeout_ms=5000", "consumer_id="+strconv.Itoa(10+i))
		require.Equal(t, []string{strconv.Itoa(i)}, valuesOf(polledOnce.Records))
		require.EqualValues(t, 1, s.committed("once", name, 1))
		next.setBroker(i+1, "stop", "stopped")
		next.setBroker(i+1, "start", "running")
		s.delete("/topic/" + name).want(http.StatusNoContent)
	}
	f.nodes[0].topic("t", 3)
	l := f.load("t", 3, 6)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var got []string
	var watching sync.WaitGroup
	watching.Go(func() { got = l.group(ctx) })
	watching.Go(func() { l.watch(ctx) })
	l.advance(300)
	for victim, s := range f.nodes {
		s.kill()
		l.advance(300)
		s.again()
		f.waitReady()
		l.advance(100)
		f.nodes[(victim+1)%3].get("/nodes").want(http.StatusOK)
	}
	l.check()
	cancel()
	watching.Wait()
	slices.Sort(got)
	require.EqualValues(t, l.total(), len(slices.Compact(slices.Clone(got))), "the group was given everything")
	for _, s := range f.nodes {
		s.stop()
		code, out, _ := s.ottla("", "log", "verify", s.dir)
		require.Zero(t, code, out)
	}
}

// A node that stood still knows an old world. It tells nobody of it.
func TestAPausedNodeShowsNothingOld(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.nodes[0].topic("t", 3)
	l := f.load("t", 3, 6)
	for _, i := range rand.Perm(3)[:1] {
		s := f.nodes[i]
		l.advance(100)
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
		<-time.After(3 * time.Second) // the pause is the test
		l.advance(100)
		// Of each read, what was acknowledged linkFence before it, or more.
		old, noted := l.seen(), time.Now()
		<-time.After(linkFence)
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGCONT))
		answered := 0
		for began := time.Now(); time.Since(began) < 2*time.Second || answered < 20; {
			require.Less(t, time.Since(began), waitTimeout, "node %d does not answer", i+1)
			next := l.seen()
			for p := range old {
				a, err := s.try(http.MethodGet, fmt.Sprintf("/topic/t/partitions/%d/records?offset=%d&max_records=1", p, max(0, old[p]-1)), nil)
				require.NoError(t, err)
				if a.status != http.StatusOK {
					continue
				}
				answered++
				var r fetched
				a.as(&r)
				require.GreaterOrEqual(t, r.HighWatermark, old[p], "partition %d by way of node %d, %s after it went on", p, i+1, time.Since(began))
			}
			if time.Since(noted) > 2*linkFence {
				old, noted = next, time.Now()
				<-time.After(linkFence)
			}
		}
		f.waitReady()
	}
	l.check()
}

// A node that is stopped in order hands over before it goes.
func TestNodesAreStoppedInTurn(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.nodes[0].topic("t", 3)
	l := f.load("t", 3, 6)
	var gaps, usual []time.Duration
	for _, s := range f.nodes {
		l.slow.Store(0)
		l.advance(200)
		usual = append(usual, time.Duration(l.slow.Swap(0)))
		s.stop()
		l.advance(100)
		gaps = append(gaps, time.Duration(l.slow.Load()))
		s.again()
		f.waitReady()
	}
	l.check()
	slices.Sort(gaps)
	slices.Sort(usual)
	slow := min(usual[1], 300*time.Millisecond) // beyond that it would be as long as an election
	assert.Less(t, gaps[1], 300*time.Millisecond+3*slow, "what a record took while a node stopped, in the middle of %v; before, as slow as the machine is, it was %v", gaps, usual)
}
