package coordinator

import "github.com/asynkron/protoactor-go/actor"

// privateGroup is what a group remembers of being the own group of a consumer that has
// named neither: nobody else would look for it. The polls of the consumer say so, and it is
// in the log for a coordinator that begins when the consumer has gone. A consumer that polls by its
// id, or commits by itself, makes the group one like any other.
type privateGroup struct {
	yes   bool
	until int64 // when the group goes, because its consumer has gone; 0: that is there
}

// setPrivate notes whether the group is private, in the log too if that is new.
func (g *groupActor) setPrivate(ctx actor.Context, private bool) {
	g.private = privateGroup{yes: private}
	if g.state.Private() != private {
		g.advance(ctx, g.state.DecidePrivate(g.now(), private), nil, nil)
	}
}

// endPrivate deletes a private group whose consumer has gone: at once where it has left,
// else when its client has had the time of a session more to come back with the id of a
// record. It may come later, too: its cursor says where it was.
func (g *groupActor) endPrivate(ctx actor.Context) {
	if !g.private.yes || g.queue != nil || g.classicLive() {
		return
	}
	now := g.now()
	recs, err := g.state.DecideDelete(now)
	switch {
	case err != nil: // it is alive, or the group has gone
		g.private.until = 0
	case g.private.until == 0 && g.state.MemberCount() > 0:
		g.private.until = now + g.state.LongestSession()
	case now < g.private.until:
	default:
		g.private = privateGroup{}
		g.advance(ctx, recs, nil, nil)
	}
}
