package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/actors/remote"
	"ottla/actors/wire"
	"ottla/certs"
	"ottla/link"
	"ottla/protocol"
)

// How a data directory comes to belong to a fleet.
//
// An empty one asks all its seeds. If one of them belongs to a fleet, this node is
// one of its founders, or joins it. If all are empty, all there, and all have the
// same seeds, the first of the seeds writes down the founding, with all of them as
// founders; the others find it there and write it down too. A founding is written
// once and never changed, so two foundings cannot both get all founders. Nobody
// founds alone who has seeds.

// LinkOptions are how a node takes part in a fleet. The zero value: it is alone.
type LinkOptions struct {
	Listen    string // HOST:PORT for other nodes; empty: the node is alone
	Advertise string // HOST:PORT where they reach it; empty: Listen
	Seeds     []string
	Name      string // unique in the fleet
	Rack      string
	TLS       *certs.NodeFiles // nil: none
	Insecure  bool
}

// maxFounders is how many nodes may found a fleet together.
const maxFounders = 9

// findPause is the pause before the seeds are asked again.
const findPause = 200 * time.Millisecond

// helloAnswer is what a node says of itself to one that has no fleet.
type helloAnswer struct {
	Founding *datadir.Founding `json:"f,omitempty"` // of its fleet; nil: it has none
	UUID     string            `json:"u"`
	Name     string            `json:"n"`
	Link     string            `json:"l"`
	HTTP     string            `json:"h"`
	Seeds    []string          `json:"s,omitempty"`
}

// joinRequest asks a member of a fleet to enter a node.
type joinRequest struct {
	Node catalog.FleetNode `json:"n"`
}

// joinAnswer says which number it has, and who else there is.
type joinAnswer struct {
	Node     uint64              `json:"n"`
	Founding datadir.Founding    `json:"f"`
	Members  []catalog.FleetNode `json:"m"`
}

// joiner answers other nodes about this one's fleet, and finds one where it has
// none.
type joiner struct {
	env  *environment
	uuid string

	mu   sync.Mutex
	node *datadir.Node // nil: none yet
}

// answer takes a call that concerns the fleet.
func (j *joiner) answer(kind uint16, _ link.NodeID, body []byte, reply func([]byte, error)) {
	switch kind {
	case wire.Hello:
		o := j.env.opt.Link
		a := helloAnswer{UUID: j.uuid, Name: o.Name, Link: o.Advertise, HTTP: hostPort(j.env.opt.Host, j.env.opt.Port), Seeds: o.Seeds}
		j.mu.Lock()
		if j.node != nil {
			a.Founding = &j.node.Founding
		}
		j.mu.Unlock()
		reply(wire.Encode(&a), nil)
	case wire.Join:
		var m joinRequest
		if err := wire.Decode(body, &m); err != nil {
			reply(nil, err)
			return
		}
		go j.enter(&m, reply)
	default:
		reply(nil, fmt.Errorf("call of kind %d is not known to this version", kind))
	}
}

// enter enters another node into the fleet's metadata.
func (j *joiner) enter(m *joinRequest, reply func([]byte, error)) {
	f := j.env.fleet
	if f == nil || f.handle == nil || f.view.Load() == nil {
		reply(nil, protocol.Errorf(protocol.CodeStarting, "node %q does not know its fleet's metadata yet", j.env.opt.Link.Name))
		return
	}
	m.Node.ID, m.Node.CreatedAt = 0, j.env.now().UnixMilli()
	a := joinAnswer{Founding: f.node.Founding}
	err := f.change(time.Now().Add(j.env.opt.RequestTimeout), func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		a.Node, recs, err = s.DecideRegisterNode(m.Node)
		a.Members = a.Members[:0]
		for _, n := range s.FleetNodes() {
			a.Members = append(a.Members, *n)
		}
		return recs, err
	})
	if err != nil {
		reply(nil, err)
		return
	}
	reply(wire.Encode(&a), nil)
}

// wrongSeedsError is an error that asking again does not mend.
type wrongSeedsError struct{ err error }

func (e *wrongSeedsError) Error() string { return e.err.Error() }

// find makes this data directory part of a fleet and returns its place, and who else
// known to belong to it. It asks the seeds until that is decided or ctx ends.
// Errors: ctx ends; the settings are wrong.
func (j *joiner) find(empty bool) (*datadir.Node, []catalog.FleetNode, error) {
	o := j.env.opt.Link
	seeds := others(o)
	switch {
	case len(seeds) == 0:
		n, err := j.found([]helloAnswer{})
		return n, nil, err
	case !empty:
		return nil, nil, errors.New("this data directory has clusters and belongs to no fleet: a node with data neither founds one with others nor joins one;" +
			" start it without node.seeds, and have empty nodes join it")
	case len(o.Seeds) > maxFounders && slices.Contains(o.Seeds, o.Advertise):
		return nil, nil, fmt.Errorf("%d seeds, at most %d nodes found a fleet: name some of them", len(o.Seeds), maxFounders)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	last := ""
	for {
		n, members, err := j.try(ctx, seeds)
		var wrong *wrongSeedsError
		switch {
		case n != nil, errors.As(err, &wrong):
			return n, members, err
		case err != nil && err.Error() != last:
			last = err.Error()
			why := last
			j.env.fleet.why.Store(&why)
			j.env.log.Warn("waiting for the fleet", "reason", last)
		}
		select {
		case <-j.env.stopped:
			return nil, nil, nil
		case <-time.After(findPause):
		}
	}
}

// others are the seeds but for this node.
func others(o LinkOptions) []string {
	var seeds []string
	for _, s := range o.Seeds {
		if s != o.Advertise && !slices.Contains(seeds, s) {
			seeds = append(seeds, s)
		}
	}
	return seeds
}

// try asks all seeds once. The node is nil when it is not decided yet, and err says
// why.
func (j *joiner) try(ctx context.Context, seeds []string) (*datadir.Node, []catalog.FleetNode, error) {
	answers := make([]helloAnswer, len(seeds))
	errs := make([]error, len(seeds))
	var asking sync.WaitGroup
	for i, seed := range seeds {
		asking.Go(func() {
			body, err := j.ask(ctx, seed, wire.Hello, nil)
			if err == nil {
				err = wire.Decode(body, &answers[i])
			}
			var refused *link.Refusal
			switch {
			case errors.As(err, &refused) && refused.Reason == link.ReasonName:
				errs[i] = &wrongSeedsError{fmt.Errorf("%w; give this one another name with node.name", err)}
			case err != nil:
				errs[i] = fmt.Errorf("seed %s: %w", seed, err)
			}
		})
	}
	asking.Wait()
	for _, err := range errs {
		var wrong *wrongSeedsError
		if errors.As(err, &wrong) {
			return nil, nil, wrong
		}
	}
	for i := range answers {
		if f := answers[i].Founding; errs[i] == nil && f != nil {
			return j.joinOrFind(ctx, seeds[i], f)
		}
	}
	o := j.env.opt.Link
	if !slices.Contains(o.Seeds, o.Advertise) {
		return nil, nil, cmp.Or(errors.Join(errs...), fmt.Errorf("no seed belongs to a fleet, and this node (%s) is none of the seeds, so it founds none", o.Advertise))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	for i := range answers {
		if !slices.Equal(sorted(answers[i].Seeds), sorted(o.Seeds)) {
			return nil, nil, fmt.Errorf("seed %s has other seeds than this node (%v, %v): founders need the same list", seeds[i], answers[i].Seeds, o.Seeds)
		}
	}
	if slices.Min(o.Seeds) != o.Advertise {
		return nil, nil, fmt.Errorf("waiting for %s to found the fleet", slices.Min(o.Seeds))
	}
	n, err := j.found(answers)
	return n, nil, err
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// found writes down a founding with this node and those that have answered.
func (j *joiner) found(answers []helloAnswer) (*datadir.Node, error) {
	o := j.env.opt.Link
	all := append([]helloAnswer{{UUID: j.uuid, Name: o.Name, Link: o.Advertise, HTTP: hostPort(j.env.opt.Host, j.env.opt.Port)}}, answers...)
	slices.SortFunc(all, func(a, b helloAnswer) int { return cmp.Compare(a.Link, b.Link) })
	f := datadir.Founding{Fleet: protocol.NewID(), CreatedAt: time.UnixMilli(j.env.now().UnixMilli()).UTC()}
	for i, a := range all {
		for _, other := range f.Founders {
			if other.UUID == a.UUID || other.Name == a.Name {
				return nil, &wrongSeedsError{fmt.Errorf("the nodes at %s and %s have the same name (%s): give each another one with node.name", other.Link, a.Link, a.Name)}
			}
		}
		f.Founders = append(f.Founders, datadir.Founder{Node: uint64(i + 1), UUID: a.UUID, Name: a.Name, Link: a.Link, HTTP: a.HTTP})
	}
	return j.accept(&f)
}

// accept writes down a founding in which this node is a founder.
func (j *joiner) accept(f *datadir.Founding) (*datadir.Node, error) {
	for _, founder := range f.Founders {
		if founder.UUID == j.uuid {
			return j.write(&datadir.Node{Fleet: f.Fleet, Node: founder.Node, UUID: j.uuid, Founding: *f})
		}
	}
	return nil, nil
}

func (j *joiner) write(n *datadir.Node) (*datadir.Node, error) {
	if err := datadir.WriteNode(j.env.opt.DataDir, n); err != nil {
		return nil, &wrongSeedsError{err}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.node = n
	return n, nil
}

// joinOrFind makes this node a founder of the fleet that a seed belongs to, or has it
// join that.
func (j *joiner) joinOrFind(ctx context.Context, seed string, f *datadir.Founding) (*datadir.Node, []catalog.FleetNode, error) {
	n, err := j.accept(f)
	if n != nil || err != nil {
		return n, nil, err
	}
	o := j.env.opt
	body, err := j.ask(ctx, seed, wire.Join, wire.Encode(&joinRequest{catalog.FleetNode{
		UUID: j.uuid, Name: o.Link.Name, Link: o.Link.Advertise, HTTP: hostPort(o.Host, o.Port), Rack: o.Link.Rack, Version: o.Version,
	}}))
	var refused *protocol.Error
	if errors.As(err, &refused) && refused.Code == protocol.CodeNotAllowed {
		return nil, nil, &wrongSeedsError{refused}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("join by way of %s: %w", seed, err)
	}
	var a joinAnswer
	if err := wire.Decode(body, &a); err != nil {
		return nil, nil, err
	}
	n, err = j.write(&datadir.Node{Fleet: a.Founding.Fleet, Node: a.Node, UUID: j.uuid, Founding: a.Founding})
	return n, a.Members, err
}

// ask asks whoever is at an address.
func (j *joiner) ask(ctx context.Context, address string, kind uint16, body []byte) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	c := make(chan answer, 1)
	j.env.peers.link.CallAddress(address, kind, time.Now().Add(callPatience), func(_ link.Identity, body []byte, err error) {
		c <- answer{body, err}
	}, body)
	select {
	case a := <-c:
		return a.body, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// openLink opens the node's link, if it has one. Find, if not nil, makes the node
// part of a fleet and tells the node's actor. Errors: the settings do not fit what is
// in the data directory; the address cannot be used.
func (e *environment) openLink(empty bool) (find func(), err error) {
	o := &e.opt.Link
	node, err := datadir.ReadNode(e.opt.DataDir)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, err
	case o.Listen == "" && node != nil:
		return nil, fmt.Errorf("this data directory is that of node %d of a fleet: start it with --link, as before", node.Node)
	case o.Listen == "":
		return nil, nil
	}
	if o.Advertise == "" {
		o.Advertise = o.Listen
	}
	j := &joiner{env: e, node: node, uuid: protocol.NewID()}
	self := link.Identity{
		Name: o.Name, Version: e.opt.Version, MinFormat: linkFormat, MaxFormat: linkFormat,
		AdvertiseLink: o.Advertise, AdvertiseHTTP: hostPort(e.opt.Host, e.opt.Port), Rack: o.Rack,
	}
	if node != nil {
		j.uuid, self.Fleet, self.Node = node.UUID, node.Fleet, link.NodeID(node.Node)
	}
	self.UUID = j.uuid
	e.peers = newPeers(e)
	e.peers.joined = j.answer
	e.fleet = &fleet{env: e, found: make(chan struct{})}
	if e.peers.link, err = link.Open(link.Config{Self: self, Listen: o.Listen, TLS: o.TLS, Insecure: o.Insecure, Handler: e.peers, Log: e.log}); err != nil {
		return nil, err
	}
	e.peers.leaders = remote.New(e.peers.link, e.peers.leader, e.log) // nobody is a member yet, who could ask for one
	return func() {
		m := &fleetFound{node: node}
		if node == nil {
			var err error
			if m.node, m.members, err = j.find(empty); err != nil {
				e.fail(fmt.Errorf("find the fleet: %w", err))
				return
			}
			if m.node == nil {
				return // the process ends
			}
			self.Fleet, self.Node = m.node.Fleet, link.NodeID(m.node.Node)
			e.peers.link.SetIdentity(self)
		}
		e.system.Root.Send(e.node.Load(), m)
	}, nil
}

// linkFormat is the version of what nodes say to each other.
const linkFormat = 1

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
