package cli

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ottla/client"
	"ottla/protocol"
)

// readTopics prints topics without a group, all at the same time. The server keeps
// nothing of it, however the command ends.
func readTopics(ctx context.Context, p *process, a *api, o *consumeOptions, from string) error {
	d := &directReader{api: a, o: o, out: newPrinter(p, o)}
	note := d.out.progress
	defer note.end()
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	var all sync.WaitGroup
	for _, topic := range o.topics {
		f := &follower{
			d: d, topic: topic, note: note.note,
			stream: client.StreamOptions{Cluster: o.cluster, From: from, Reuse: true, OutOfRange: func(g protocol.Gap) {
				note.note(fmt.Sprintf("records %d to %d of partition %d of %s were removed by retention before they were read", g.Asked, g.Earliest-1, g.Partition, g.Topic))
			}},
		}
		f.retries = &retries{api: a, note: note.note, limit: away}
		if o.follow {
			f.retries.limit = forever
		}
		all.Go(func() {
			if err := f.run(ctx); err != nil && ctx.Err() == nil {
				d.end(a.explain(err))
			}
		})
	}
	all.Wait()
	return unlessClosed(d.err)
}

// follower prints one topic.
type follower struct {
	d       *directReader
	topic   string
	stream  client.StreamOptions
	retries *retries
	note    func(string)
}

// run prints records until there are no more, or for as long as ctx lasts with
// --follow. Where a stream breaks off, another one goes on.
func (f *follower) run(ctx context.Context) error {
	for tries := 0; ; tries++ {
		read, err := f.follow(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case client.HasCode(err, protocol.CodeTopicNotFound) && f.d.o.create && tries == 0:
			if _, err := f.d.api.CreateTopic(ctx, client.TopicSpec{Name: f.topic, Cluster: f.d.o.cluster}); err != nil {
				return err
			}
			continue
		case !client.Retriable(err) || !f.retries.again(err):
			return err
		}
		if read {
			tries = 0
		}
		pause := time.NewTimer(retryBackoff << min(tries, 5))
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// follow prints what one stream brings. It returns no error when no record has come
// for as long as the command waits.
func (f *follower) follow(ctx context.Context) (read bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := f.d.api.OpenStream(ctx, f.topic, f.stream)
	if err != nil {
		return false, err
	}
	defer s.Close() //nolint:errcheck // it was only read
	if f.retries.succeeded() {
		f.note("the server answers again")
	}
	var idle atomic.Bool
	timer := time.AfterFunc(f.d.o.wait, func() {
		idle.Store(!f.d.o.follow)
		if !f.d.o.follow {
			cancel()
		}
	})
	defer timer.Stop()
	for {
		batch, err := s.Next()
		timer.Stop()
		f.stream.After = s.Cursor()
		if idle.Load() {
			return read, nil
		}
		if err != nil {
			return read, err
		}
		read = true
		f.d.print(batch)
		if ctx.Err() != nil {
			return read, nil
		}
		timer.Reset(f.d.o.wait)
	}
}
