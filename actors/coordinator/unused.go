package coordinator

import (
	"time"

	"ottla/actors/routing"

	"github.com/asynkron/protoactor-go/actor"
)

// How often a coordinator looks for groups that nobody uses any more, and how long
// it must have led before it does so: it does not know who polled under its
// predecessor, so members get that long to poll again.
const (
	groupExpiryInterval = time.Minute
	groupExpiryGrace    = time.Hour
)

// ExpiryTick asks every group that may be unused to check itself. The first time
// that starts the group's actor, which gives its members another lease.
func (c *Coordinator) ExpiryTick(ctx actor.Context) {
	if !c.serves() {
		return
	}
	c.startQueues(ctx)
	retention := c.env.OffsetsRetention
	c.ledTicks++
	if retention <= 0 || c.ledTicks%c.env.Ticks(min(groupExpiryInterval, retention/4)) != 0 ||
		c.ledTicks < c.env.Ticks(min(groupExpiryGrace, retention)) {
		return
	}
	c.expireGroups(ctx)
}

func (c *Coordinator) expireGroups(ctx actor.Context) {
	retention := c.env.OffsetsRetention.Milliseconds()
	due := c.env.Wall() - retention
	for group, kept := range c.groups {
		if kept.LastUse() <= due {
			c.request(ctx, &routing.GroupRequest{Group: group, Msg: &deleteUnused{RetentionMs: retention}})
		}
	}
}
