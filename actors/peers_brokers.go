package actors

import (
	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"
)

// brokerMessage is a message to a broker; one of the last two is set.
type brokerMessage struct {
	Cluster string       `json:"c"`
	Broker  int          `json:"b"`
	Asked   *framesAsked `json:"a,omitempty"`
	Lent    *framesLent  `json:"l,omitempty"`
}

func (p *peers) tellBroker(to link.NodeID, cluster string, broker int, message any) {
	m := brokerMessage{Cluster: cluster, Broker: broker}
	switch message := message.(type) {
	case *framesAsked:
		m.Asked = message
	case *framesLent:
		m.Lent = message
	default:
		p.env.log.Error("BUG: this message cannot be sent to another node", "type", typeName(message))
		return
	}
	p.link.Send(to, link.CatchUp, wire.Broker, wire.Encode(&m))
}

func (p *peers) toBroker(body []byte) error {
	var m brokerMessage
	if err := wire.Decode(body, &m); err != nil {
		return err
	}
	c := p.cluster(m.Cluster)
	if c == nil {
		return nil
	}
	pid := c.links.broker(m.Broker)
	switch {
	case pid == nil:
	case m.Asked != nil:
		p.env.system.Root.Send(pid, m.Asked)
	case m.Lent != nil:
		p.env.system.Root.Send(pid, m.Lent)
	}
	return nil
}

// brokerChange asks another node to stop or start one of its brokers. The answer is a
// brokerSaid: announcements take another connection and may come later.
type brokerChange struct {
	Cluster string `json:"c"`
	Broker  int    `json:"b"`
	Start   bool   `json:"s,omitempty"`
}

// countsNoted asks another node to note the counts of brokers in the ledgers of its
// own. Reply gets the brokers that have, and what they knew before.
type countsNoted struct {
	Cluster string                    `json:"c"`
	Counts  map[int]uint64            `json:"n"`
	Reply   func(countsAnswer, error) `json:"-"`
}

// countsAnswer answers countsNoted.
type countsAnswer struct {
	Noted []int          `json:"n"` // brokers that have the counts on disk
	Known map[int]uint64 `json:"k"` // the greatest counts known there
}

// toCluster hands a call to the cluster that it is for.
func (p *peers) toCluster(kind uint16, body []byte, reply func([]byte, error)) error {
	var message any
	var cluster string
	var c *peerCluster
	switch kind {
	case wire.ChangeBroker:
		var m brokerChange
		if err := wire.Decode(body, &m); err != nil {
			return err
		}
		slot := protocol.NewFuture[*protocol.Error]()
		slot = slot.Then(func() {
			if err := <-slot.C(); err != nil {
				reply(nil, err)
			} else {
				said := c.links.brokerSays(m.Broker)
				reply(wire.Encode(&said), nil)
			}
		})
		cluster, message = m.Cluster, &changeBroker{ID: m.Broker, Start: m.Start, Reply: slot}
	default:
		var m countsNoted
		if err := wire.Decode(body, &m); err != nil {
			return err
		}
		m.Reply = func(a countsAnswer, err error) { reply(wire.Encode(&a), err) }
		cluster, message = m.Cluster, &m
	}
	if c = p.cluster(cluster); c == nil {
		reply(nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %s does not run at this node", cluster))
		return nil
	}
	p.env.system.Root.Send(c.pid, message)
	return nil
}
