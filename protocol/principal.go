package protocol

import (
	"sync/atomic"
	"time"
)

// Principal is who sends requests, as a token, a certificate or the like shows,
// and what that allows. It is immutable but for its end: when the token is changed
// or deleted there is another principal, or none. A nil Principal is anybody,
// where nobody is asked who he is, and may do everything.
type Principal struct {
	name    string
	entry   string    // the name of the token that it stands for, which may be another
	expires time.Time // zero: never
	grants  []grant
	usage   *Usage    // nil: without bounds
	secret  TokenHash // by which secret of the token it is known; zero: by none
	end     *ending
	clock   func() time.Time // by which it expires; nil: the system's
}

// ending says that a token is no more what it was.
type ending struct {
	over atomic.Bool
	c    chan struct{} // closed then
}

// grant is a Grant with what its missing patterns mean.
type grant struct {
	do          Right
	whole       bool   // everything in the clusters
	cluster     string // the pattern
	topics      string // "": none
	groups      string // "": none
	groupsDo    Right  // what do is for groups
	innerTopics bool   // topics that begin with __ too
}

// NewPrincipal makes a principal of what a token has. A grant without patterns is
// for everything, internal topics included. Without cluster it is for all
// clusters. One that names only groups is for no topic. One that names only topics
// is, for admin, for no group; for read it is for all groups as long as no other
// grant of the token names groups, because a consumer needs one.
func NewPrincipal(name string, allow []Grant, expires *time.Time) *Principal {
	p := &Principal{name: name, entry: name, end: &ending{c: make(chan struct{})}}
	if expires != nil {
		p.expires = *expires
	}
	namesGroups := false
	for i := range allow {
		namesGroups = namesGroups || allow[i].Groups != ""
	}
	for i := range allow {
		p.grants = append(p.grants, compile(&allow[i], namesGroups))
	}
	return p
}

func compile(from *Grant, namesGroups bool) grant {
	g := grant{cluster: from.Cluster, topics: from.Topics, groups: from.Groups}
	for _, name := range from.Do {
		right, _ := ParseRight(name)
		g.do |= right
	}
	g.groupsDo = g.do
	if g.cluster == "" {
		g.cluster = "*"
	}
	switch {
	case g.topics == "" && g.groups == "":
		g.whole, g.topics, g.groups = true, "*", "*"
	case g.groups == "" && !namesGroups:
		g.groups, g.groupsDo = "*", g.do&RightRead
	}
	g.innerTopics = g.whole || IsInternalTopic(g.topics)
	return g
}

// WithUsage sets where what the principal uses is counted, before anybody else has it.
func (p *Principal) WithUsage(u *Usage) *Principal {
	p.usage = u
	return p
}

// Timed sets by which clock the principal expires, before anybody else has it.
func (p *Principal) Timed(clock func() time.Time) *Principal {
	p.clock = clock
	return p
}

// By is the same principal, known by that secret of the token, or for zero by none.
func (p *Principal) By(secret TokenHash) *Principal {
	c := *p
	c.secret = secret
	return &c
}

// Secret is by which secret of the token the principal is known; zero: by none.
func (p *Principal) Secret() TokenHash { return p.secret }

// Usage is where what the principal uses is counted; nil: it has no quota.
func (p *Principal) Usage() *Usage {
	if p == nil {
		return nil
	}
	return p.usage
}

// As is a principal that may do the same as p, for as long as p may, but not longer
// than until expires. It goes by another name.
func (p *Principal) As(name string, expires time.Time) *Principal {
	c := *p
	c.name = name
	if c.expires.IsZero() || expires.Before(c.expires) {
		c.expires = expires
	}
	return &c
}

// Entry is the name of the token that the principal stands for.
func (p *Principal) Entry() string {
	if p == nil {
		return ""
	}
	return p.entry
}

// Name is the name of the token, or what else the principal is known by; "" for
// nobody.
func (p *Principal) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// Topic reports whether the principal may do that with a topic.
func (p *Principal) Topic(do Right, cluster, topic string) bool {
	if p == nil {
		return true
	}
	for i := range p.grants {
		g := &p.grants[i]
		if g.do&do != 0 && matches(g.topics, topic) && matches(g.cluster, cluster) && (g.innerTopics || !IsInternalTopic(topic)) {
			return true
		}
	}
	return false
}

// Group reports whether the principal may do that with a group.
func (p *Principal) Group(do Right, cluster, group string) bool {
	if p == nil {
		return true
	}
	for i := range p.grants {
		g := &p.grants[i]
		if g.groupsDo&do != 0 && matches(g.groups, group) && matches(g.cluster, cluster) {
			return true
		}
	}
	return false
}

// Cluster reports whether the principal may do that with a cluster as a whole,
// everything in it included.
func (p *Principal) Cluster(do Right, cluster string) bool {
	if p == nil {
		return true
	}
	for i := range p.grants {
		if g := &p.grants[i]; g.do&do != 0 && g.whole && matches(g.cluster, cluster) {
			return true
		}
	}
	return false
}

// Everything reports whether the principal may do that with everything.
func (p *Principal) Everything(do Right) bool {
	if p == nil {
		return true
	}
	for i := range p.grants {
		if g := &p.grants[i]; g.do&do != 0 && g.whole && g.cluster == "*" {
			return true
		}
	}
	return false
}

// anything is any right: who has one may see that a thing is there.
const anything = RightRead | RightWrite | RightAdmin

// SeesTopic reports whether the principal may know of a topic.
func (p *Principal) SeesTopic(cluster, topic string) bool { return p.Topic(anything, cluster, topic) }

// SeesGroup reports whether the principal may know of a group.
func (p *Principal) SeesGroup(cluster, group string) bool { return p.Group(anything, cluster, group) }

// SeesCluster reports whether the principal may know of a cluster.
func (p *Principal) SeesCluster(cluster string) bool {
	if p == nil {
		return true
	}
	for i := range p.grants {
		if matches(p.grants[i].cluster, cluster) {
			return true
		}
	}
	return false
}

// End says that the principal is no more what a token shows.
func (p *Principal) End() {
	if p.end.over.CompareAndSwap(false, true) {
		close(p.end.c)
	}
}

// Over reports whether the principal has ended, or has expired by now: what the system's
// clock says, which does not count if the principal expires by another one.
func (p *Principal) Over(now time.Time) bool {
	return p != nil && (p.end.over.Load() || p.Expired(now))
}

// Ended is closed when the principal has ended; nil for nobody, who never ends.
func (p *Principal) Ended() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.end.c
}

// Expired reports whether the principal has expired by now; see Over.
func (p *Principal) Expired(now time.Time) bool {
	if p.expires.IsZero() {
		return false
	}
	if p.clock != nil {
		now = p.clock()
	}
	return !now.Before(p.expires)
}

// Expires is when the principal ends by itself; zero: never.
func (p *Principal) Expires() time.Time { return p.expires }

// Access is who asks, and for what kind of thing: the right that the route of the
// API needs. The zero Access may do everything.
type Access struct {
	Who *Principal
	Do  Right
}

// Forbidden is the error for what the principal may not do. Kind is what the
// resource is: a topic, a group, a cluster or everything; cluster may be empty.
func (a Access) Forbidden(do Right, kind, cluster, name string) *Error {
	e := Errorf(CodeForbidden, "%q may not %s %s %q", a.Who.Name(), do, kind, name)
	resource := map[string]any{"kind": kind, "name": name}
	if cluster != "" {
		resource["cluster"] = cluster
		e.Message += " of cluster \"" + cluster + "\""
	}
	e = e.With("action", do.String()).With("resource", resource)
	return e
}
