package actors

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

// expiryTick asks every group that may be unused to check itself. The first time
// that starts the group's actor, which gives its members another lease.
func (c *coordinator) expiryTick(ctx actor.Context) {
	if !c.serves() {
		return
	}
	c.startQueues(ctx)
	retention := c.env.opt.OffsetsRetention
	c.ledTicks++
	if retention <= 0 || c.ledTicks%c.env.ticks(min(groupExpiryInterval, retention/4)) != 0 ||
		c.ledTicks < c.env.ticks(min(groupExpiryGrace, retention)) {
		return
	}
	c.expireGroups(ctx)
}

func (c *coordinator) expireGroups(ctx actor.Context) {
	retention := c.env.opt.OffsetsRetention.Milliseconds()
	due := c.env.wall() - retention
	for group, kept := range c.groups {
		if kept.LastUse() <= due {
			c.request(ctx, &routing.GroupRequest{Group: group, Msg: &deleteUnused{RetentionMs: retention}})
		}
	}
}
