package coordinator

import (
	"time"

	"ottla/actors/routing"

	"github.com/asynkron/protoactor-go/actor"
)

// How often a coordinator looks for groups that nobody uses any more, and how long
// it must have led before it does so: it does not know who polled under its
// predecessor, so members get that long to poll again. Where the clock says that no group
// was used for days before it led, all were down, or the clock is wrong: that it is ahead
// has to be noticed before groups are deleted for it.
const (
	groupExpiryInterval = time.Minute
	groupExpiryGrace    = time.Hour
	groupExpiryDoubt    = 24 * time.Hour
)

// ExpiryTick asks every group that may be unused to check itself. The first time
// that starts the group's actor, which gives its members another lease.
func (c *Coordinator) ExpiryTick(ctx actor.Context) {
	if !c.serves() {
		return
	}
	c.startQueues(ctx)
	c.wake(ctx)
	if c.expiryDue() {
		c.expireGroups(ctx)
	}
}

// expiryDue counts a tick, and reports whether it is one to look for unused groups.
func (c *Coordinator) expiryDue() bool {
	retention := c.env.OffsetsRetention
	if retention <= 0 {
		return false
	}
	if c.ledTicks++; c.ledTicks == 1 {
		c.grace = groupExpiryGrace
		last := int64(0)
		for _, kept := range c.groups {
			last = max(last, kept.LastUse())
		}
		if c.env.Wall()-last > groupExpiryDoubt.Milliseconds() {
			c.grace = groupExpiryDoubt
		}
	}
	return c.ledTicks%c.env.Ticks(min(groupExpiryInterval, retention/4)) == 0 && c.ledTicks >= c.env.Ticks(min(c.grace, retention))
}

// expireGroups asks groups whose last committed sign of life is old. The group decides, on
// what it knows: signs of life in memory may be newer than those in the log.
func (c *Coordinator) expireGroups(ctx actor.Context) {
	retention := c.env.OffsetsRetention.Milliseconds()
	due := c.env.Wall() - retention
	for group, kept := range c.groups {
		if kept.LastUse() <= due && (c.env.Kept == nil || !c.env.Kept(c.clusterID, group)) {
			c.request(ctx, &routing.GroupRequest{Group: group, Msg: &deleteUnused{RetentionMs: retention}})
		}
	}
}
