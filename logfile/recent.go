package logfile

import (
	"bytes"
	"container/list"
	"sync"
)

// Bounds of what is kept of one log.
const (
	recentFrames = 64
	recentBytes  = 64 << 10 // of bodies
)

// Recent keeps the newest entries of logs in memory, as they were appended, so that
// who reads at the end of a log opens no file, and checks nothing that was made a moment
// ago. It is bounded by the bytes of bodies in all logs together: those of the log that
// was written to least recently go first. Copies of an entry in one process share its
// body, and count each. It is safe for concurrent use.
type Recent struct {
	mu    sync.Mutex
	max   int
	bytes int
	order *list.List // of *recent, the last one written to first
}

// NewRecent returns a Recent of at most max bytes.
func NewRecent(max int) *Recent { return &Recent{max: max, order: list.New()} }

// Bytes is how many bytes it holds.
func (r *Recent) Bytes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// recent is the end of one log: the last frames with records, the oldest first. What it
// has of offsets below a high watermark is committed and never changes, so the views of a
// log share it. Nil keeps nothing.
type recent struct {
	all *Recent
	at  *list.Element // in all; under its mutex

	mu     sync.Mutex
	frames [recentFrames]Frame // a ring
	first  int                 // in frames
	count  int
	bytes  int
}

func (r *Recent) log() *recent {
	if r == nil {
		return nil
	}
	return &recent{all: r}
}

// add keeps a frame that was appended.
func (t *recent) add(f *Frame) {
	if t == nil || f.Kind != KindRecords || f.Count == 0 || len(f.Body) > recentBytes {
		return
	}
	t.mu.Lock()
	before := t.bytes
	for t.count == recentFrames || t.count > 0 && t.bytes+len(f.Body) > recentBytes {
		t.drop()
	}
	t.frames[(t.first+t.count)%recentFrames] = *f
	t.count++
	t.bytes += len(f.Body)
	more := t.bytes - before
	t.mu.Unlock()
	t.all.grow(t, more)
}

// drop drops the oldest frame; mu must be held.
func (t *recent) drop() {
	f := &t.frames[t.first]
	t.bytes -= len(f.Body)
	*f = Frame{}
	t.first = (t.first + 1) % recentFrames
	t.count--
}

// clear forgets everything: entries were replaced, or the log ends.
func (t *recent) clear() {
	if t != nil {
		t.all.forget(t)
	}
}

// empty drops all frames and returns how many bytes they had.
func (t *recent) empty() (bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for bytes = t.bytes; t.count > 0; {
		t.drop()
	}
	return bytes
}

// find returns the frame that holds an offset.
func (t *recent) find(offset int64) (f Frame, ok bool) {
	if t == nil {
		return f, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := t.count - 1; i >= 0; i-- {
		f := &t.frames[(t.first+i)%recentFrames]
		if f.BaseOffset <= offset {
			return *f, offset < f.BaseOffset+int64(f.Count)
		}
	}
	return f, false
}

// grow counts what a log has more, and makes room for it.
func (r *Recent) grow(t *recent, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.at == nil {
		t.at = r.order.PushFront(t)
	} else {
		r.order.MoveToFront(t.at)
	}
	for r.bytes += bytes; r.bytes > r.max && r.order.Len() > 0; {
		r.remove(r.order.Back().Value.(*recent))
	}
}

func (r *Recent) forget(t *recent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(t)
}

// remove takes a log out; mu must be held.
func (r *Recent) remove(t *recent) {
	if t.at != nil {
		r.order.Remove(t.at)
		t.at = nil
	}
	r.bytes -= t.empty()
}

// inMemory emits records out of the recent entries, as far as these hold the next ones.
// It returns false where a file has to be read: nothing is wrong then.
func (v *View) inMemory(r *recordReader) bool {
	if r.next < v.floor {
		return false // what is left there, compaction has decided
	}
	f, ok := v.recent.find(r.next)
	if !ok {
		return false
	}
	r.limit = min(r.end, f.BaseOffset+int64(f.Count), r.next+int64(r.recordsLeft))
	offset, before, err := f.BaseOffset, r.next, error(nil)
	eachLine(f.Body, func(_ int, line []byte) bool {
		if offset >= r.next {
			if r.ownBuffers {
				line = bytes.Clone(line)
			}
			err = r.line(line, offset)
		}
		offset++
		return err == nil && !r.full && r.next < r.limit
	})
	return err == nil && (r.next > before || r.full)
}
