package logfile

import (
	"container/list"
	"sync"
)

const (
	defaultHandles = 4
	evictTries     = 16  // active segments that are looked at when one too many is opened
	idlePortion    = 128 // those that CloseIdle looks at without letting others in between
)

// HandleCache bounds how many segments are open: it closes the least recently used
// sealed ones, and active ones that were not used for a while and hold nothing that
// may not be durable. A file that is being used is never closed, so a bound may be
// exceeded for as long as that takes. It is safe for concurrent use.
type HandleCache struct {
	mu     sync.Mutex // before any File's
	sealed handleList
	active handleList
}

// NewHandleCache returns a cache that keeps so many sealed and so many active
// segments open; each is at least 1.
func NewHandleCache(sealed, active int) *HandleCache {
	return &HandleCache{sealed: newHandleList(sealed), active: newHandleList(active)}
}

// touch marks a sealed file as the most recently used, or notes that an active one
// was opened, and closes those beyond the bounds.
func (c *HandleCache) touch(f *File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !f.sealed.Load() {
		c.sealed.remove(f)
		c.active.first(f)
		c.active.evictUnused(c.active.order.Len()-c.active.max, evictTries)
		return
	}
	c.active.remove(f)
	c.sealed.first(f)
	for e := c.sealed.order.Back(); e != nil && c.sealed.order.Len() > c.sealed.max; {
		prev := e.Prev()
		if old := e.Value.(*File); old != f && old.evict() {
			c.sealed.remove(old)
		}
		e = prev
	}
}

// forget removes a file that is closed or unlinked.
func (c *HandleCache) forget(f *File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed.remove(f)
	c.active.remove(f)
}

// CloseIdle closes the active segments that were not used since the last call.
func (c *HandleCache) CloseIdle() {
	for left := c.Active(); left > 0; left -= idlePortion {
		c.mu.Lock()
		c.active.evictUnused(idlePortion, min(left, idlePortion))
		c.mu.Unlock()
	}
}

// Active is how many active segments are open.
func (c *HandleCache) Active() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active.order.Len()
}

// handleList is the files of one kind that are open, the first of them the one that
// was used or looked at last.
type handleList struct {
	max   int
	order *list.List // of *File
	at    map[*File]*list.Element
}

func newHandleList(bound int) handleList {
	return handleList{max: max(bound, 1), order: list.New(), at: make(map[*File]*list.Element)}
}

func (h *handleList) first(f *File) {
	if e, ok := h.at[f]; ok {
		h.order.MoveToFront(e)
	} else {
		h.at[f] = h.order.PushFront(f)
	}
}

func (h *handleList) remove(f *File) {
	if e, ok := h.at[f]; ok {
		h.order.Remove(e)
		delete(h.at, f)
	}
}

// evictUnused looks at so many files from the last one on, and closes up to n that
// were not used since they were looked at before. The others become the first.
func (h *handleList) evictUnused(n, tries int) {
	for ; n > 0 && tries > 0 && h.order.Len() > 0; tries-- {
		f := h.order.Back().Value.(*File)
		if f.used.Swap(false) || !f.evict() {
			h.first(f)
			continue
		}
		h.remove(f)
		n--
	}
}
