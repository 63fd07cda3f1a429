package fanout

import (
	"sync"
	"time"

	"ottla/protocol"
)

// Form is a form of a stream, from 0 to Forms-1.
type Form int

// Forms is the number of forms.
const Forms = 2

// Bounds of a feed.
const (
	// maxKept is how many chunks are kept, and maxKeptBytes how many bytes of them, for
	// streams that are about to attach. The last one is always kept.
	maxKept      = 64
	maxKeptBytes = 1 << 20
	// maxUnheard is how many chunks a feed reads while nobody is attached.
	maxUnheard = 16
	// restAfterError is how long a feed does not start again after its reading has failed.
	restAfterError = time.Second
)

// Room is memory that answers may take.
type Room interface {
	protocol.Room
	Set(bytes int64)
	Release()
}

// Options are what a feed needs of the API. Look bounds what is read at once.
type Options struct {
	Open   func(*protocol.ReadingRequest) (protocol.Reading, *protocol.Error)
	Render func(form Form, reply *protocol.ReadingReply) []byte // as it is to be written
	Look   protocol.ReadingLook
	Room   func() Room
	Sent   func(bytes int)
}

// chunk is what one look of the feed has brought.
type chunk struct {
	number     uint64
	start, end string
	forms      [Forms][]byte // nil where nobody has asked for it
	bytes      int
	fetched    func(times int) // counts its records as fetched
}

// Feed is one reading of a topic for all streams at its place.
type Feed struct {
	o         *Options
	topic     *protocol.Topic
	partition *int

	mu        sync.Mutex
	joined    int           // streams that may attach
	listeners [Forms]int    // of them
	attached  []*Subscriber // of them
	reading   *running      // nil while nobody is attached
	number    uint64        // of the next chunk
	cursor    string        // the place; valid while there is a reading
	kept      []*chunk      // the last ones, up to the place
	bytes     int           // of kept
	moved     chan struct{} // is closed at the next move
	restUntil time.Time     // after an error
	room      Room          // of kept
}

// running is the reading of a feed's goroutine.
type running struct {
	protocol.Reading
	stop chan struct{}
}

// Target is the place of the feed, and what is closed when it moves on. It is empty
// while nobody is attached: whoever gets to the end then starts the feed.
func (f *Feed) Target() (cursor string, moved <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reading == nil {
		return "", f.moved
	}
	return f.cursor, f.moved
}

// Attach attaches a stream that is at cursor. If the feed has moved on from there, the
// stream is not attached, and gets the next chunk and the place behind it. atEnd says
// that cursor is the end of the topic: a feed that nobody is attached to begins there.
// Where nothing of that is possible, it returns false.
func (f *Feed) Attach(s *Subscriber, cursor string, atEnd bool) (next []byte, end string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reading == nil {
		if !atEnd || !f.start(cursor) {
			return nil, "", false
		}
	}
	if cursor != f.cursor {
		for i := len(f.kept) - 1; i >= 0; i-- {
			if c := f.kept[i]; c.start == cursor && c.forms[s.form] != nil {
				c.fetched(1)
				return c.forms[s.form], c.end, true
			}
		}
		return nil, "", false
	}
	select {
	case <-s.woken: // of the last time
	default:
	}
	s.mu.Lock()
	s.active, s.next, s.cursor, s.last, s.rest, s.sent, s.err = true, f.number, cursor, time.Time{}, nil, 0, nil
	s.mu.Unlock()
	s.index = len(f.attached)
	f.attached = append(f.attached, s)
	return nil, cursor, true
}

// Detach ends what Attach began: the feed writes nothing to the stream any more. It
// returns the place behind all that the stream got, what was not written of that,
// how many bytes it got, and the error of its output.
func (f *Feed) Detach(s *Subscriber) (cursor string, rest []byte, sent int, err error) {
	f.mu.Lock()
	if s.index >= 0 {
		last := len(f.attached) - 1
		f.attached[s.index] = f.attached[last]
		f.attached[s.index].index = s.index
		f.attached[last] = nil
		f.attached, s.index = f.attached[:last], -1
	}
	f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = false
	return s.cursor, s.rest, s.sent, s.err
}

// start begins to read at a place; f.mu is held.
func (f *Feed) start(cursor string) bool {
	if time.Now().Before(f.restUntil) {
		return false
	}
	r := &running{stop: make(chan struct{})}
	reading, err := f.o.Open(&protocol.ReadingRequest{Topic: f.topic, Partition: f.partition, After: cursor, Done: r.stop, Uncounted: true})
	if err != nil {
		return false
	}
	r.Reading = reading
	f.reading, f.cursor = r, cursor
	go f.run(r)
	return true
}

// run reads until nobody has listened for some time, or the reading fails.
func (f *Feed) run(r *running) {
	defer r.Close()
	var list []*Subscriber
	look, room := f.o.Look, f.o.Room()
	look.Room = room
	for unheard := 0; ; {
		reply, err := r.Next(look)
		failed := err != nil || len(reply.Gaps) > 0 // each stream tells of its own gaps
		var c *chunk
		if !failed && len(reply.Records) > 0 {
			c = f.render(reply, r)
		}
		room.Release()
		f.mu.Lock()
		if f.reading != r {
			f.mu.Unlock()
			return
		}
		if len(f.attached) > 0 {
			unheard = 0
		} else if unheard++; c == nil || unheard > maxUnheard {
			failed = true
		}
		list = append(list[:0], f.attached...)
		if failed {
			f.end(err != nil)
		} else if c != nil {
			f.keep(c)
		}
		f.mu.Unlock()
		if failed {
			for _, s := range list {
				s.wake()
			}
			return
		}
		if c != nil {
			f.give(c, list)
		}
		clear(list)
	}
}

// render makes a chunk of what was read, in all forms that are listened to.
func (f *Feed) render(reply *protocol.ReadingReply, r *running) *chunk {
	f.mu.Lock()
	listeners := f.listeners
	f.mu.Unlock()
	c := &chunk{end: r.Cursor(), fetched: r.Copies(reply)}
	for form, n := range listeners {
		if n > 0 {
			c.forms[form] = f.o.Render(Form(form), reply)
			c.bytes += len(c.forms[form])
		}
	}
	return c
}

// keep moves the feed behind a chunk; f.mu is held.
func (f *Feed) keep(c *chunk) {
	c.number, c.start = f.number, f.cursor
	f.number, f.cursor = f.number+1, c.end
	f.kept, f.bytes = append(f.kept, c), f.bytes+c.bytes
	for len(f.kept) > 1 && (len(f.kept) > maxKept || f.bytes > maxKeptBytes) {
		f.bytes -= f.kept[0].bytes
		f.kept[0] = nil
		f.kept = f.kept[1:]
	}
	f.room.Set(int64(f.bytes))
	close(f.moved)
	f.moved = make(chan struct{})
}

// give writes a chunk to those who were attached when it was read.
func (f *Feed) give(c *chunk, list []*Subscriber) {
	now, given, sent := time.Now(), 0, 0
	for _, s := range list {
		if s.give(c, now) {
			given++
			sent += len(c.forms[s.form])
		}
	}
	c.fetched(given)
	f.o.Sent(sent)
}

// end forgets the place; f.mu is held. The goroutine of the reading ends.
func (f *Feed) end(failed bool) {
	if f.reading == nil {
		return
	}
	close(f.reading.stop)
	f.number++ // who is still attached gets nothing of the next reading
	f.reading, f.kept, f.bytes = nil, nil, 0
	f.room.Release()
	if failed {
		f.restUntil = time.Now().Add(restAfterError)
	}
	close(f.moved)
	f.moved = make(chan struct{})
}
