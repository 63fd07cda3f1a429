package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/peers"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// While a node runs no replica of a cluster's metadata it reads it from its leader,
// like a consumer would.

// metadataReader is that reading, on its own goroutine.
type metadataReader struct {
	cluster *actor.PID
	system  *actor.ActorSystem
	route   *routing.Partition
	group   *peers.Group
	next    int64
}

// followMetadata begins to read the metadata from its leader, for as long as no
// replica of it runs here.
func (c *clusterActor) followMetadata(ctx actor.Context) {
	if !c.links.Spread() {
		return
	}
	work, cancel := context.WithCancel(context.Background())
	c.following = cancel
	r := &metadataReader{cluster: ctx.Self(), system: c.env.system, route: c.metaRoute, group: c.links.Group(catalog.MetadataPartition())}
	go r.run(work)
}

func (c *clusterActor) stopFollowing() {
	if c.following != nil {
		c.following()
	}
}

// followPause is the pause after a read that failed, and the longest time for which a
// wake that was lost is missed.
const followPause = time.Second

func (r *metadataReader) run(ctx context.Context) {
	woken := make(chan struct{}, 1)
	w := protocol.NewWaiter(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	for ctx.Err() == nil {
		if r.group.Locals() > 0 {
			pauseFor(ctx, followPause)
			continue
		}
		leader := r.route.Await(nil, time.Now().Add(followPause))
		if leader == nil {
			continue
		}
		if !r.read(leader) {
			pauseFor(ctx, followPause/10)
			continue
		}
		leader.Register(w, protocol.Offset(r.next))
		select {
		case <-woken:
		case <-time.After(followPause):
		case <-ctx.Done():
		}
		leader.Unregister(w)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// metadataPage is how many records are read at a time.
const metadataPage = 1000

// read hands over all records from next on. The first time, and where compaction has
// removed some of those, they are all that there is up to an offset, and replace what
// was there.
func (r *metadataReader) read(leader *routing.Leadership) bool {
	v, err := leader.View()
	if err != nil {
		return false
	}
	end := v.HighWatermark()
	whole := r.next == 0
	records, ok := readMetadata(v, r.next, end)
	if !ok {
		return false
	}
	if !whole && len(records) > 0 && int64(len(records)) != end-r.next {
		whole = true
		if records, ok = readMetadata(v, v.Earliest(), end); !ok {
			return false
		}
	}
	switch {
	case end <= r.next:
		return true
	case whole:
		r.system.Root.Send(r.cluster, &metadataApplied{Records: records, Restore: end})
	default:
		r.system.Root.Send(r.cluster, &metadataApplied{Records: records})
	}
	r.next = end
	return true
}

func readMetadata(v routing.LogView, from, end int64) (all []logfile.Record, ok bool) {
	from = max(from, v.Earliest())
	for from < end {
		page, err := v.Read(nil, from, metadataPage, 1<<20)
		if err != nil {
			return nil, false
		}
		if len(page) == 0 {
			break // compaction has left nothing up to the end
		}
		all = append(all, page...)
		from = page[len(page)-1].Offset + 1
	}
	return all, true
}
