package routing

import (
	"sync/atomic"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// ErrStarting is the error of requests for a cluster whose metadata is not
// recovered yet.
var ErrStarting = protocol.Errorf(protocol.CodeStarting, "the broker is recovering its metadata")

// longStart is how long a start may take before requests that do not name a
// cluster no longer wait for it.
const longStart = 10 * time.Second

// Control is the port to a cluster's actor.
type Control interface {
	// Change has decide look at the cluster's state, puts the records that it
	// returns into the metadata, and answers when they are applied. Errors: that
	// of decide; not_enough_replicas; outcome_unknown at the deadline.
	Change(deadline time.Time, decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error
	// ChangeBroker stops or starts one broker and answers when that is done.
	ChangeBroker(id int, start bool, deadline time.Time) *protocol.Error
}

// Cluster is what goroutines outside the actor system see of a cluster.
//
// A cluster that must not be started, because too much of it is missing, is
// held back while others serve: it is listed, readiness names it, and requests
// for it are answered with the reason. A request that names no cluster gets what
// the others have. What they do not have may be in the cluster that is held back,
// so such a request is answered with neither "not found" nor a new topic. After
// its directories have been put back, or given up, the process has to be started
// again. A cluster that has been without its metadata for long is treated in the
// same way until it has it.
type Cluster struct {
	Name    string
	Fresh   bool      // created by a request to this process: before it serves, nothing can be missing from it
	Known   time.Time // since when this process knows it
	Refused *Refusal  // why it must not be started, nil if it may
	Control Control   // nil if it is refused

	IDs   ConsumerIDs
	Turns protocol.Counter // which partition a poll reads first

	table   atomic.Pointer[Table]
	view    atomic.Pointer[View]
	problem atomic.Pointer[string]
}

// Refusal is a cluster that is not started.
type Refusal struct {
	Reason string               // one line
	Info   protocol.ClusterInfo // what its manifest and directories say
}

// Table is the newest routing table, nil until the metadata is recovered.
func (c *Cluster) Table() *Table { return c.table.Load() }

// View is the newest picture of the cluster, nil until the metadata is
// recovered.
func (c *Cluster) View() *View { return c.view.Load() }

// Publish replaces table and view. It reports whether topics or partitions are
// others than before.
func (c *Cluster) Publish(t *Table, v *View) (changed bool) {
	announce := t.succeed(c.table.Load())
	c.table.Store(t)
	if announce != nil {
		announce()
	}
	c.view.Store(v)
	return announce != nil
}

// Problem says what keeps the metadata from being recovered, "" if that is not
// known.
func (c *Cluster) Problem() string {
	if p := c.problem.Load(); p != nil {
		return *p
	}
	return ""
}

// SetProblem says what keeps the metadata from being recovered.
func (c *Cluster) SetProblem(reason string) { c.problem.Store(&reason) }

// HeldBack reports whether requests that name no cluster do without this one.
func (c *Cluster) HeldBack(now time.Time) bool {
	return c.Table() == nil && !c.Fresh && (c.Refused != nil || now.Sub(c.Known) > longStart)
}

// Unavailable is the error of requests for a cluster without metadata.
func (c *Cluster) Unavailable() *protocol.Error {
	if c.Refused == nil {
		return ErrStarting
	}
	return protocol.Errorf(protocol.CodeNotEnoughReplicas, "%s (the server's log says more)", c.Refused.Reason)
}
