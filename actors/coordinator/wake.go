package coordinator

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// How often a coordinator looks for groups that nobody asks for although they have members,
// and how many of them it starts in a tick. Before the first look, members who have waited
// for a coordinator get that long to poll again.
const (
	wakeInterval = 10 * time.Second
	wakePortion  = 20
)

// wake starts the actors of groups that have members and for which nobody has asked since
// the coordinator leads: their members' leases begin with that, and end if nobody is left.
// Otherwise they would be listed as alive for ever. It starts a portion, so that nothing
// waits long for it.
func (c *Coordinator) wake(ctx actor.Context) {
	c.wakeTicks++
	if len(c.asleep) == 0 && c.wakeTicks%c.env.Ticks(wakeInterval) == 0 {
		for name, kept := range c.groups {
			if kept.Alive && c.running[name] == nil {
				c.asleep = append(c.asleep, name)
			}
		}
	}
	portion := c.asleep[:min(len(c.asleep), wakePortion)]
	for _, name := range portion {
		kept := c.groups[name]
		if kept != nil && kept.Alive && c.running[name] == nil && c.clear(name) { // else it is for the next look
			c.spawn(ctx, name, false)
		}
	}
	if c.asleep = c.asleep[len(portion):]; len(c.asleep) == 0 {
		c.asleep = nil // let go of the array as well
	}
}
