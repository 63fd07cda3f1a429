package logfile

import (
	"container/list"
	"sync"
)

const defaultHandles = 4

// HandleCache bounds how many sealed segments are open and closes the least
// recently used ones. A file that is being read is never closed, so the bound may
// be exceeded for as long as that takes. It is safe for concurrent use.
type HandleCache struct {
	mu    sync.Mutex
	max   int
	order *list.List // of *File, most recent first
	at    map[*File]*list.Element
}

// NewHandleCache returns a cache of max handles; max is at least 1.
func NewHandleCache(max int) *HandleCache {
	if max < 1 {
		max = 1
	}
	return &HandleCache{max: max, order: list.New(), at: make(map[*File]*list.Element)}
}

// touch marks a sealed file as the most recently used and closes the least
// recently used ones beyond the bound.
func (c *HandleCache) touch(f *File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[f]; ok {
		c.order.MoveToFront(e)
	} else {
		c.at[f] = c.order.PushFront(f)
	}
	for e := c.order.Back(); e != nil && c.order.Len() > c.max; {
		prev := e.Prev()
		if old := e.Value.(*File); old != f && old.evict() {
			c.order.Remove(e)
			delete(c.at, old)
		}
		e = prev
	}
}

// forget removes a file that is closed, unlinked or active again.
func (c *HandleCache) forget(f *File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[f]; ok {
		c.order.Remove(e)
		delete(c.at, f)
	}
}
