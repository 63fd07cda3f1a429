package cli

import (
	"context"
	"sync"

	"ottla/client"
)

// position is where a partition is read.
type position struct {
	topic     string
	partition int
	offset    int64
}

// readPartitions prints partitions by offset, without a group: one after the other
// or, with --follow, all at the same time.
func readPartitions(ctx context.Context, p *process, a *api, o *consumeOptions) error {
	positions, err := startPositions(ctx, a, o)
	if err != nil {
		return a.explain(err)
	}
	d := &directReader{api: a, o: o, out: newPrinter(p, o)}
	defer d.out.progress.end()
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	var all sync.WaitGroup
	for _, at := range positions {
		if o.follow {
			all.Go(func() { d.read(ctx, at) })
		} else {
			d.read(ctx, at)
		}
	}
	all.Wait()
	return unlessClosed(d.err)
}

// startPositions finds the partitions, and where to begin in each.
func startPositions(ctx context.Context, a *api, o *consumeOptions) (list []position, err error) {
	for _, topic := range o.topics {
		info, err := a.Topic(ctx, o.cluster, topic)
		if err != nil {
			return nil, err
		}
		for _, p := range info.Partitions {
			if o.partition >= 0 && p.Number != o.partition {
				continue
			}
			at := position{topic: topic, partition: p.Number}
			if p.Earliest != nil {
				at.offset = max(int64(*p.Earliest), o.offset)
			}
			if o.tail > 0 && p.Latest != nil {
				at.offset = max(at.offset, int64(*p.Latest)-o.tail)
			}
			list = append(list, at)
		}
	}
	if len(list) == 0 { // the server says that there is no such partition
		list = append(list, position{o.topics[0], o.partition, max(0, o.offset)})
	}
	return list, nil
}

// directReader prints the records of several partitions.
type directReader struct {
	api  *api
	o    *consumeOptions
	out  *printer
	stop func()

	mu      sync.Mutex
	printed int
	err     error // the first
}

// read prints a partition from a position on, until there are no more records, or
// enough. The server is asked for the next ones before those that it has answered are
// printed.
func (d *directReader) read(ctx context.Context, at position) {
	options := client.FetchOptions{Cluster: d.o.cluster, Offset: at.offset}
	if d.o.follow {
		options.Wait = followWait
	}
	asked := d.ask(ctx, at, options, 0)
	for asked != nil {
		got := <-asked
		if ctx.Err() != nil || got.err == nil && len(got.Messages) == 0 && !d.o.follow {
			return
		}
		if got.err != nil {
			d.end(d.api.explain(got.err))
			return
		}
		options.Offset = got.NextOffset
		asked = d.ask(ctx, at, options, len(got.Messages))
		d.print(got.Messages)
	}
}

// fetched is what a fetch has brought.
type fetched struct {
	*client.FetchReply
	err error
}

// directRecords is how many records one fetch brings at most.
const directRecords = 2000

// ask fetches on another goroutine. It returns nil if no more records are to be printed
// than there are already, with those that are not printed yet.
func (d *directReader) ask(ctx context.Context, at position, options client.FetchOptions, unprinted int) <-chan fetched {
	if options.MaxRecords = directRecords; d.o.maxRecords > 0 {
		d.mu.Lock()
		options.MaxRecords = min(options.MaxRecords, d.o.maxRecords-d.printed-unprinted)
		d.mu.Unlock()
	}
	if options.MaxRecords <= 0 || ctx.Err() != nil {
		return nil
	}
	asked := make(chan fetched, 1)
	go func() {
		reply, err := d.api.Fetch(ctx, at.topic, at.partition, options)
		asked <- fetched{reply, err}
	}()
	return asked
}

func (d *directReader) print(batch []client.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.o.maxRecords > 0 {
		batch = batch[:min(len(batch), d.o.maxRecords-d.printed)]
	}
	err := d.out.print(batch)
	d.printed += len(batch)
	if err != nil && d.err == nil {
		d.err = err
	}
	if err != nil || d.o.maxRecords > 0 && d.printed >= d.o.maxRecords {
		d.stop()
	}
}

// end ends all reads with an error.
func (d *directReader) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = err
	}
	d.stop()
}
