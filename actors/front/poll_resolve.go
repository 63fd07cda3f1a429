package front

import (
	"strconv"
	"time"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// onResolve finds out which topics, consumer and group are meant.
func (p *poll) onResolve() pollState {
	if err := p.mayPoll(); err != nil {
		return p.fail(err)
	}
	if err := p.resolveTopics(); err != nil {
		return p.fail(err)
	}
	if err := p.resolveConsumer(); err != nil {
		return p.fail(err)
	}
	if p.req.Group == "" {
		p.req.Group = "consumer-" + strconv.FormatInt(int64(p.req.ConsumerID), 10)
	}
	if err := p.front.mayJoin(p.cluster.Name, p.req.Group); err != nil {
		return p.fail(err)
	}
	if p.req.SessionTimeout == 0 {
		p.req.SessionTimeout = p.front.opt.SessionTimeout
	}
	p.number = p.req.Number
	p.waiter = protocol.NewWaiter(p.wake)
	return stateAhead
}

// resolveTopics finds the topics, and the one cluster that has them.
func (p *poll) resolveTopics() *protocol.Error {
	for _, name := range p.req.Topics {
		t, err := p.front.LookupTopic(p.req.Cluster, name, p.req.AutoCreate, time.Now().Add(p.front.opt.RequestTimeout))
		if err != nil {
			return err
		}
		c := routing.Of(t).Cluster
		if p.cluster != nil && p.cluster != c {
			return protocol.Errorf(protocol.CodeAmbiguousTopic, "the topics of one poll must be in one cluster")
		}
		p.cluster = c
		p.topics.Set(t.ID, t)
	}
	return nil
}

// seal is that of the poll's cluster; nil if it has none.
func (p *poll) seal() *group.Seal {
	if view := p.cluster.View(); view != nil {
		return view.Seal
	}
	return nil
}

// resolveConsumer takes the consumer from the request, from its cursor, or
// makes a new one.
func (p *poll) resolveConsumer() *protocol.Error {
	if p.req.Resume {
		c, err := group.DecodeCursor(p.req.After, p.seal())
		if err != nil {
			return err
		}
		p.resumed = c.Generation
		if p.req.ConsumerID == 0 {
			p.req.ConsumerID = c.ConsumerID
			if p.req.Group == "" {
				p.req.Group = c.Group
			}
		}
	}
	if p.req.ConsumerID != 0 {
		return nil
	}
	id, err := p.front.freshConsumerID(p.cluster)
	p.req.ConsumerID = id
	return err
}
