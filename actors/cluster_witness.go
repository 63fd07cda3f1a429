package actors

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/peers"
	"ottla/link"
)

// A broker of a cluster with brokers at several nodes that opens a directory first asks
// all other nodes what they know of it, for witnessPatience at most: the first that knows
// more than the directory says recognizes an older copy. Then it has its count noted, by
// a majority of the cluster's brokers, itself included, and runs its replicas. A majority
// alone would not recognize all: of three brokers, another one may have noted the last
// count. What is left is an older copy that starts while all are away that know of it.

// witnessing is a broker that waits for brokers elsewhere to note its count.
type witnessing struct {
	opens    uint64
	since    time.Time
	answered map[link.NodeID]bool // nodes that have said what they know
	noted    map[int]bool         // brokers that have noted the count, itself included
}

// notedFor is a count that another node has asked to note.
type notedFor struct {
	left  map[int]bool // brokers here that have not answered
	noted []int
	known map[int]uint64
	reply func(peers.CountsAnswer, error)
}

type (
	// witnessed is the answer of another node. Known is the greatest count of the
	// broker that a broker there knew before, and Asked says that it was only asked for
	// that.
	witnessed struct {
		Broker int
		Node   link.NodeID
		Opens  uint64
		Asked  bool
		Noted  []int
		Known  uint64
	}
	// witnessDue has the other nodes asked again.
	witnessDue struct{ Broker int }
)

// witnessRetry is the pause before nodes are asked again that have not answered, or
// whose brokers could not write.
const witnessRetry = 300 * time.Millisecond

// witnessPatience is how long a broker waits for nodes that do not say what they know of
// it.
const witnessPatience = time.Second

// introduced lets a broker run that its peers in this process know, once enough of
// those elsewhere do.
func (c *clusterActor) introduced(ctx actor.Context, id int, noted []int) {
	b := c.brokers[id]
	if !c.links.Spread() || b.opened == nil {
		c.letIn(ctx, b)
		return
	}
	w := &witnessing{opens: b.opened.Opens, since: time.Now(), answered: map[link.NodeID]bool{}, noted: map[int]bool{id: true}}
	for _, n := range noted {
		w.noted[n] = true
	}
	c.witnessing[id] = w
	c.seekWitnesses(ctx, id)
}

// seekWitnesses asks all other nodes of the cluster what they know of a broker, or to
// note its count, unless enough have.
func (c *clusterActor) seekWitnesses(ctx actor.Context, id int) {
	b, w := c.brokers[id], c.witnessing[id]
	if w == nil {
		return
	}
	if b.state != brokerStarting || b.opened == nil || b.opened.Opens != w.opens {
		delete(c.witnessing, id)
		return
	}
	asked, count := false, w.opens
	switch {
	case !c.allHaveSaid(b, w):
		asked, count = true, 0 // nothing to note
	case c.notedByMajority(w):
		delete(c.witnessing, id)
		c.letIn(ctx, b)
		return
	}
	self, system := ctx.Self(), c.env.system
	m := &peers.CountsNoted{Cluster: c.handle.manifest.ID, Counts: map[int]uint64{id: count}}
	for _, node := range c.otherNodes() {
		if asked && w.answered[node] {
			continue
		}
		c.env.peers.NoteCounts(node, m, func(a peers.CountsAnswer, err error) {
			if err == nil { // else asked again
				system.Root.Send(self, &witnessed{Broker: id, Node: node, Opens: w.opens, Asked: asked, Noted: a.Noted, Known: a.Known[id]})
			}
		})
	}
	time.AfterFunc(witnessRetry, func() { system.Root.Send(self, &witnessDue{id}) })
}

// allHaveSaid reports whether all other nodes have said what they know of the broker, or
// have had the time. Of a broker whose first directory this is, none knows anything.
func (c *clusterActor) allHaveSaid(b *brokerInCluster, w *witnessing) bool {
	if b.opened.Before == 0 && !b.opened.Wiped || time.Since(w.since) >= witnessPatience {
		return true
	}
	return !slices.ContainsFunc(c.otherNodes(), func(n link.NodeID) bool { return !w.answered[n] })
}

func (c *clusterActor) notedByMajority(w *witnessing) bool {
	return len(w.noted) > c.handle.manifest.NumBrokers/2
}

// otherNodes are the nodes that have brokers of this cluster, but for this one.
func (c *clusterActor) otherNodes() []link.NodeID {
	var nodes []link.NodeID
	for _, b := range c.brokers {
		if !b.here() && !slices.Contains(nodes, b.node) {
			nodes = append(nodes, b.node)
		}
	}
	return nodes
}

func (c *clusterActor) witnessed(ctx actor.Context, m *witnessed) {
	b, w := c.brokers[m.Broker], c.witnessing[m.Broker]
	if w == nil || w.opens != m.Opens || b.opened == nil || b.opened.Opens != m.Opens {
		return
	}
	// Brokers elsewhere note a count only when it is on disk here: what they know before
	// they are asked to note this one cannot exceed what the ledger said before this start,
	// unless that is an older copy. A directory that is new has to get beyond it.
	if m.Known > m.Opens || m.Asked && (m.Known == m.Opens || m.Known > b.opened.Before && !b.opened.Wiped) {
		// It is opened again, and a new directory takes the place of an older copy: that has
		// counted this start, so only a greater count tells it.
		delete(c.witnessing, b.id)
		c.intros.Note(b.id, max(m.Known, m.Opens+1))
		ctx.Send(b.pid, &refuseBroker{})
		c.moveBroker(b, brokerFailed, nil)
		c.startBroker(ctx, b)
		return
	}
	if m.Asked {
		w.answered[m.Node] = true
		if !c.allHaveSaid(b, w) {
			return
		}
	}
	if !m.Asked {
		for _, n := range m.Noted {
			w.noted[n] = true
		}
	}
	if m.Asked || c.notedByMajority(w) {
		c.seekWitnesses(ctx, b.id)
	}
}

// countsNoted has the brokers of this node whose ledgers are open note the counts of
// another node's.
func (c *clusterActor) countsNoted(ctx actor.Context, m *peers.CountsNoted) {
	n := &notedFor{left: map[int]bool{}, known: map[int]uint64{}, reply: m.Reply}
	for id, count := range m.Counts {
		n.known[id] = c.intros.Count(id)
		if b := c.brokers[id]; b != nil && !b.here() {
			c.intros.Note(id, count)
		}
	}
	number := farewellNumber - 1 - c.notings
	c.notings++
	for _, b := range c.brokers {
		if b.here() && !b.gone && (b.state == brokerRunning || b.state == brokerStarting && b.opened != nil) {
			n.left[b.id] = true
			ctx.Send(b.pid, &notePeers{Number: number, Counts: m.Counts})
		}
	}
	if m.Reply == nil {
		return
	}
	if len(n.left) == 0 {
		m.Reply(peers.CountsAnswer{Known: n.known}, nil)
		return
	}
	c.noting[number] = n
	self, system := ctx.Self(), c.env.system
	time.AfterFunc(introductionPatience, func() {
		system.Root.Send(self, &inspectCluster{Do: func(c *clusterActor) { c.endNoting(number) }})
	})
}

// notedHere takes a broker's answer; false if it is not of a count that another node
// has asked to note.
func (c *clusterActor) notedHere(m *peersNoted) bool {
	n := c.noting[m.Number]
	if n == nil {
		return m.Number > farewellNumber-1-c.notings && m.Number < farewellNumber
	}
	if n.left[m.Broker] {
		delete(n.left, m.Broker)
		if m.Err == nil {
			n.noted = append(n.noted, m.Broker)
		}
	}
	if len(n.left) == 0 {
		c.endNoting(m.Number)
	}
	return true
}

func (c *clusterActor) endNoting(number uint64) {
	if n := c.noting[number]; n != nil {
		delete(c.noting, number)
		n.reply(peers.CountsAnswer{Noted: n.noted, Known: n.known}, nil)
	}
}

// tellRaised tells other nodes the new count of a broker here; whoever does not hear
// of it now is told when it is introduced the next time.
func (c *clusterActor) tellRaised(broker int, opens uint64) {
	if !c.links.Spread() {
		return
	}
	m := &peers.CountsNoted{Cluster: c.handle.manifest.ID, Counts: map[int]uint64{broker: opens}}
	for _, node := range c.otherNodes() {
		c.env.peers.TellCounts(node, m)
	}
}
