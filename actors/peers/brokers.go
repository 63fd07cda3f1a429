package peers

import (
	"fmt"
	"time"

	"ottla/actors/mending"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"
)

// brokerMessage is a message to a broker; one of the last two is set.
type brokerMessage struct {
	Cluster string         `json:"c"`
	Broker  int            `json:"b"`
	Asked   *mending.Asked `json:"a,omitempty"`
	Lent    *mending.Lent  `json:"l,omitempty"`
}

func (p *Peers) tellBroker(to link.NodeID, cluster string, broker int, message any) {
	m := brokerMessage{Cluster: cluster, Broker: broker}
	switch message := message.(type) {
	case *mending.Asked:
		m.Asked = message
	case *mending.Lent:
		m.Lent = message
	default:
		p.log.Error("BUG: this message cannot be sent to another node", "type", fmt.Sprintf("%T", message))
		return
	}
	// Loans are large and nobody waits for them but a mending: they go where they hold up
	// nothing.
	p.link.Send(to, link.CatchUp, wire.Broker, wire.Encode(&m))
}

// toBroker hands on a message to a broker of this process. To one that does not run it is
// lost; whoever has asked gives up after a while and asks another one.
func (p *Peers) toBroker(body []byte) error {
	var m brokerMessage
	if err := wire.Decode(body, &m); err != nil {
		return err
	}
	c := p.cluster(m.Cluster)
	if c == nil {
		return nil
	}
	pid := c.links.Broker(m.Broker)
	switch {
	case pid == nil:
	case m.Asked != nil:
		p.root.Send(pid, m.Asked)
	case m.Lent != nil:
		p.root.Send(pid, m.Lent)
	}
	return nil
}

// BrokerChange asks another node to stop or start one of its brokers. The answer is a
// BrokerSaid: announcements take another connection and may come later.
type BrokerChange struct {
	Cluster string `json:"c"`
	Broker  int    `json:"b"`
	Start   bool   `json:"s,omitempty"`

	Reply protocol.Future[*protocol.Error] `json:"-"`
}

// Refuse implements routing.Question.
func (m *BrokerChange) Refuse(err *protocol.Error) { m.Reply.Put(err) }

// ChangeBroker has another node stop or start one of its brokers. Done is called once,
// on any goroutine, with the broker's state afterwards.
func (p *Peers) ChangeBroker(node link.NodeID, m *BrokerChange, deadline time.Time, done func(BrokerSaid, error)) {
	p.link.Call(node, link.Control, wire.ChangeBroker, deadline, func(answer []byte, err error) {
		var said BrokerSaid
		if err == nil {
			err = wire.Decode(answer, &said)
		}
		done(said, err)
	}, wire.Encode(m))
}

// NoteCounts has another node note counts. Done is called once, on any goroutine.
func (p *Peers) NoteCounts(node link.NodeID, m *CountsNoted, done func(CountsAnswer, error)) {
	p.link.Call(node, link.Control, wire.NoteCounts, time.Now().Add(CallPatience), func(answer []byte, err error) {
		var a CountsAnswer
		if err == nil {
			err = wire.Decode(answer, &a)
		}
		done(a, err)
	}, wire.Encode(m))
}

// TellCounts tells another node counts, and does not wait for an answer.
func (p *Peers) TellCounts(node link.NodeID, m *CountsNoted) {
	p.link.Send(node, link.Control, wire.RaisedCount, wire.Encode(m))
}

// CountsNoted asks another node to note the counts of brokers in the ledgers of its
// own. Reply gets the brokers that have, and what they knew before.
type CountsNoted struct {
	Cluster string                    `json:"c"`
	Counts  map[int]uint64            `json:"n"`
	Reply   func(CountsAnswer, error) `json:"-"`
}

// CountsAnswer answers CountsNoted.
type CountsAnswer struct {
	Noted []int          `json:"n"` // brokers that have the counts on disk
	Known map[int]uint64 `json:"k"` // the greatest counts known there before, of the brokers asked for

	// All are the greatest counts known there of all brokers, but of its own only those that
	// run: whoever has lost what it had noted learns them again. Older programs leave it out.
	All map[int]uint64 `json:"a,omitempty"`
}

// toCluster hands a call to the cluster that it is for.
func (p *Peers) toCluster(kind uint16, body []byte, reply func([]byte, error)) error {
	var message any
	var cluster string
	var c *peerCluster
	switch kind {
	case wire.ChangeBroker:
		var m BrokerChange
		if err := wire.Decode(body, &m); err != nil {
			return err
		}
		slot := protocol.NewFuture[*protocol.Error]()
		slot = slot.Then(func() {
			if err := <-slot.C(); err != nil {
				reply(nil, err)
			} else {
				said := c.links.BrokerSays(m.Broker)
				reply(wire.Encode(&said), nil)
			}
		})
		m.Reply = slot
		cluster, message = m.Cluster, &m
	default:
		var m CountsNoted
		if err := wire.Decode(body, &m); err != nil {
			return err
		}
		m.Reply = func(a CountsAnswer, err error) { reply(wire.Encode(&a), err) }
		cluster, message = m.Cluster, &m
	}
	if c = p.cluster(cluster); c == nil {
		reply(nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %s does not run at this node", cluster))
		return nil
	}
	p.root.Send(c.pid, message)
	return nil
}
