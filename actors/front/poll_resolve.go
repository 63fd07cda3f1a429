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
	// All rights are looked at before a topic is created or an id taken: a poll that is
	// refused leaves nothing behind.
	if err := p.mayPoll(); err != nil {
		return p.fail(err)
	}
	if err := p.resolveTopics(); err != nil {
		return p.fail(err)
	}
	if err := p.resolveConsumer(); err != nil {
		return p.fail(err)
	}
	// A consumer without a group has one of its own, named by its id, so that its offsets
	// are kept like any other's.
	if p.req.Group == "" {
		p.req.Group = "consumer-" + strconv.FormatInt(int64(p.req.ConsumerID), 10)
	}
	if err := p.polls.mayJoin(p.cluster.Name, p.req.Group); err != nil {
		return p.fail(err)
	}
	if p.req.SessionTimeout == 0 {
		p.req.SessionTimeout = p.polls.opt.SessionTimeout
	}
	p.number = p.req.Number
	p.waiter = protocol.NewWaiter(p.wake)
	return stateAhead
}

// resolveTopics finds the topics, and the one cluster that has them.
func (p *poll) resolveTopics() *protocol.Error {
	deadline := time.Now().Add(p.polls.opt.RequestTimeout) // of all together
	for i, name := range p.req.Topics {
		if i > 0 && p.req.AutoCreate && p.clientGone() { // what is made takes time, and would be made for nobody
			return protocol.Errorf(protocol.CodeOverloaded, "the client has left")
		}
		t, err := p.polls.LookupTopic(p.req.Cluster, name, p.req.AutoCreate, deadline)
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

// resolveConsumer takes the consumer from the request, from its cursor, or makes a new one.
// A new id is taken last of all: it costs a write to the metadata now and then.
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
	id, err := p.polls.ids.take(p.cluster)
	p.req.ConsumerID = id
	return err
}

// mayPoll refuses a poll of a topic or with a group that the client may not read,
// before any of its topics is created.
func (p *poll) mayPoll() *protocol.Error {
	ps, req := p.polls, p.req
	if ps.access.Who == nil {
		return nil
	}
	for _, name := range req.Topics {
		cluster := req.Cluster
		t, err := ps.LookupTopic(cluster, name, false, p.deadline)
		switch {
		case err == nil:
			cluster = t.Cluster
		case err.Code != protocol.CodeTopicNotFound || !req.AutoCreate || !ps.opt.AutoCreateTopics:
			return err
		default:
			if cluster == "" {
				cluster = protocol.DefaultCluster
			}
			if err := ps.mayTopic(cluster, name); err != nil {
				return err
			}
			if err := ps.mayCreate(cluster, name); err != nil {
				return err
			}
		}
		if req.Group == "" {
			continue
		}
		if err := ps.mayJoin(cluster, req.Group); err != nil {
			return err
		}
	}
	return nil
}
