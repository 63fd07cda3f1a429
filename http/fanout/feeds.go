package fanout

import (
	"sync"

	"ottla/protocol"
)

// Feeds are the feeds of a server.
type Feeds struct {
	o   Options
	mu  sync.Mutex
	all map[key]*Feed
}

// key is what all streams of a feed read.
type key struct {
	topic     string // id
	partition int    // -1: all
}

func keyOf(t *protocol.Topic, partition *int) key {
	if partition == nil {
		return key{t.ID, -1}
	}
	return key{t.ID, *partition}
}

// New returns feeds without streams.
func New(o Options) *Feeds { return &Feeds{o: o, all: map[key]*Feed{}} }

// Join returns the feed of a topic, or of one partition of it, for a stream that will
// attach to it. Leave ends that.
func (fs *Feeds) Join(t *protocol.Topic, partition *int, s *Subscriber) *Feed {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	k := keyOf(t, partition)
	f := fs.all[k]
	if f == nil {
		f = &Feed{o: &fs.o, topic: t, partition: partition, moved: make(chan struct{}), room: fs.o.Room()}
		fs.all[k] = f
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joined++
	f.listeners[s.form]++
	return f
}

// Leave ends a stream that is not attached.
func (fs *Feeds) Leave(f *Feed, s *Subscriber) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[s.form]--
	if f.joined--; f.joined == 0 {
		delete(fs.all, keyOf(f.topic, f.partition))
		f.end(false)
	}
}
