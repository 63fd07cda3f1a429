package founding

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/level"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"
)

// Options are what finding a fleet needs.
type Options struct {
	DataDir string
	Seeds   []string
	Self    catalog.FleetNode // as it is to be entered; its UUID is that of Node, if that is set
	Node    *datadir.Node     // the place that the data directory has already, nil if none

	Log     *slog.Logger
	Now     func() time.Time
	Stopped <-chan struct{} // closed when the process begins to end
	Waiting func(why string)
	// Enter enters another node, whose program goes up to a level, into the metadata of
	// this node's fleet, and names all that are in it.
	Enter func(n catalog.FleetNode, newest int) (id uint64, members []catalog.FleetNode, err *protocol.Error)
}

// Asker asks whoever listens at an address: a link.Links.
type Asker interface {
	CallAddress(address string, kind uint16, deadline time.Time, done func(peer link.Identity, body []byte, err error), parts ...[]byte)
}

// callPatience is how long another node may take to answer.
const callPatience = 3 * time.Second

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
	Node   catalog.FleetNode `json:"n"`
	Newest int               `json:"v,omitempty"` // up to which level its program goes; 0: it does not know of levels
}

// joinAnswer says which number it has, and who else there is.
type joinAnswer struct {
	Node     uint64              `json:"n"`
	Founding datadir.Founding    `json:"f"`
	Members  []catalog.FleetNode `json:"m"`
}

// Joiner answers other nodes about this one's fleet, and finds one where it has
// none.
type Joiner struct {
	o    Options
	link Asker

	mu   sync.Mutex
	node *datadir.Node // nil: none yet
}

// New returns a joiner. It asks nobody before Find.
func New(o Options) *Joiner {
	if o.Node != nil {
		o.Self.UUID = o.Node.UUID
	}
	return &Joiner{o: o, node: o.Node}
}

// UUID is that of the data directory.
func (j *Joiner) UUID() string { return j.o.Self.UUID }

// Answer takes a call that concerns the fleet.
func (j *Joiner) Answer(kind uint16, _ link.NodeID, body []byte, reply func([]byte, error)) {
	switch kind {
	case wire.Hello:
		a := j.hello()
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

// wrongSeedsError is an error that asking again does not mend.
type wrongSeedsError struct{ err error }

func (e *wrongSeedsError) Error() string { return e.err.Error() }

// Find makes this data directory part of a fleet and returns its place, and who else
// known to belong to it. It asks the seeds until that is decided or ctx ends.
// Errors: ctx ends; the settings are wrong.
func (j *Joiner) Find(by Asker, empty bool) (*datadir.Node, []catalog.FleetNode, error) {
	j.link = by
	seeds := j.others()
	switch {
	case len(seeds) == 0:
		n, err := j.found([]helloAnswer{})
		return n, nil, err
	case !empty:
		return nil, nil, errors.New("this data directory has clusters and belongs to no fleet: a node with data neither founds one with others nor joins one;" +
			" start it without node.seeds, and have empty nodes join it")
	case len(j.o.Seeds) > maxFounders && slices.Contains(j.o.Seeds, j.o.Self.Link):
		return nil, nil, fmt.Errorf("%d seeds, at most %d nodes found a fleet: name some of them", len(j.o.Seeds), maxFounders)
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
			j.o.Waiting(last)
			j.o.Log.Warn("waiting for the fleet", "reason", last)
		}
		select {
		case <-j.o.Stopped:
			return nil, nil, nil
		case <-time.After(findPause):
		}
	}
}

// others are the seeds but for this node.
func (j *Joiner) others() []string {
	var seeds []string
	for _, s := range j.o.Seeds {
		if s != j.o.Self.Link && !slices.Contains(seeds, s) {
			seeds = append(seeds, s)
		}
	}
	return seeds
}

// try asks all seeds once. The node is nil when it is not decided yet, and err says
// why.
func (j *Joiner) try(ctx context.Context, seeds []string) (*datadir.Node, []catalog.FleetNode, error) {
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
	// A fleet that is there goes before one that could be founded, even where seeds are
	// silent: the one that answers may be all that is up of it.
	for i := range answers {
		if f := answers[i].Founding; errs[i] == nil && f != nil {
			return j.joinOrFind(ctx, seeds[i], f)
		}
	}
	for _, err := range errs {
		if refused := (*link.Refusal)(nil); errors.As(err, &refused) && refused.Reason == link.ReasonFormat {
			return nil, nil, &wrongSeedsError{err} // no seed has taken this node in
		}
	}
	own := j.o.Self.Link
	if !slices.Contains(j.o.Seeds, own) {
		return nil, nil, cmp.Or(errors.Join(errs...), fmt.Errorf("no seed belongs to a fleet, and this node (%s) is none of the seeds, so it founds none", own))
	}
	// All founders must have answered: with a part of them missing, that part could found
	// another fleet under the same names.
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	for i := range answers {
		if !slices.Equal(sorted(answers[i].Seeds), sorted(j.o.Seeds)) {
			return nil, nil, fmt.Errorf("seed %s has other seeds than this node (%v, %v): founders need the same list", seeds[i], answers[i].Seeds, j.o.Seeds)
		}
	}
	// One of them founds, the same for all who have the same list; the others find what it
	// has written down when they ask again.
	if slices.Min(j.o.Seeds) != own {
		return nil, nil, fmt.Errorf("waiting for %s to found the fleet", slices.Min(j.o.Seeds))
	}
	n, err := j.found(answers)
	return n, nil, err
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// found writes down a founding with this node and those that have answered.
func (j *Joiner) found(answers []helloAnswer) (*datadir.Node, error) {
	all := append([]helloAnswer{j.hello()}, answers...)
	// Numbers follow the addresses, not the order of answers: a founder that crashes before
	// this is on disk gives the same numbers when it founds again.
	slices.SortFunc(all, func(a, b helloAnswer) int { return cmp.Compare(a.Link, b.Link) })
	f := datadir.Founding{Fleet: protocol.NewID(), CreatedAt: time.UnixMilli(j.o.Now().UnixMilli()).UTC()}
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
func (j *Joiner) accept(f *datadir.Founding) (*datadir.Node, error) {
	for _, founder := range f.Founders {
		if founder.UUID == j.UUID() {
			return j.write(&datadir.Node{Fleet: f.Fleet, Node: founder.Node, UUID: j.UUID(), Founding: *f})
		}
	}
	return nil, nil
}

func (j *Joiner) write(n *datadir.Node) (*datadir.Node, error) {
	if err := datadir.WriteNode(j.o.DataDir, n); err != nil {
		return nil, &wrongSeedsError{err}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.node = n
	return n, nil
}

// joinOrFind makes this node a founder of the fleet that a seed belongs to, or has it
// join that.
func (j *Joiner) joinOrFind(ctx context.Context, seed string, f *datadir.Founding) (*datadir.Node, []catalog.FleetNode, error) {
	n, err := j.accept(f)
	if n != nil || err != nil {
		return n, nil, err
	}
	body, err := j.ask(ctx, seed, wire.Join, wire.Encode(&joinRequest{j.o.Self, level.Newest}))
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
	// Written down only now: the fleet's metadata has this node, and when the answer is lost
	// it is entered again under its UUID, with the same number.
	n, err = j.write(&datadir.Node{Fleet: a.Founding.Fleet, Node: a.Node, UUID: j.UUID(), Founding: a.Founding})
	return n, a.Members, err
}

// ask asks whoever is at an address.
func (j *Joiner) ask(ctx context.Context, address string, kind uint16, body []byte) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	c := make(chan answer, 1)
	j.link.CallAddress(address, kind, time.Now().Add(callPatience), func(_ link.Identity, body []byte, err error) {
		c <- answer{body, err}
	}, body)
	select {
	case a := <-c:
		return a.body, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hello is what this node says of itself.
func (j *Joiner) hello() helloAnswer {
	s := &j.o.Self
	return helloAnswer{UUID: s.UUID, Name: s.Name, Link: s.Link, HTTP: s.HTTP, Seeds: j.o.Seeds}
}

// enter enters another node into the fleet.
func (j *Joiner) enter(m *joinRequest, reply func([]byte, error)) {
	j.mu.Lock()
	node := j.node
	j.mu.Unlock()
	if node == nil {
		reply(nil, protocol.Errorf(protocol.CodeStarting, "node %q belongs to no fleet yet", j.o.Self.Name))
		return
	}
	id, members, err := j.o.Enter(m.Node, max(level.Oldest, m.Newest))
	if err != nil {
		reply(nil, err)
		return
	}
	reply(wire.Encode(&joinAnswer{Node: id, Founding: node.Founding, Members: members}), nil)
}
