package offsetcheck

import (
	"fmt"
	"sync"
)

// None is the offset of a register to which nothing was committed.
const None int64 = -1

// Register names one committed offset.
type Register struct {
	Group     string
	Topic     string
	Partition int
}

func (r Register) String() string { return fmt.Sprintf("%s on %s-%d", r.Group, r.Topic, r.Partition) }

// History is what clients did and saw. It is safe for concurrent use.
type History struct {
	mu    sync.Mutex
	clock int64
	ops   []*Op
}

// New returns an empty history.
func New() *History { return &History{} }

type kind int

const (
	commit kind = iota
	seek
	read
)

type result int

const (
	pending result = iota
	acked
	behind
	refused
)

// Op is one operation, which is begun, and ended at most once.
type Op struct {
	history  *History
	client   string
	register Register
	kind     kind
	offset   int64 // the offset that is committed, or that a read returned
	current  int64 // with behind: the committed offset by the answer
	result   result
	begun    int64
	ended    int64
}

// Commit begins a commit that must not go back: POST /offset without force, or
// the ack of a cursor.
func (h *History) Commit(client string, r Register, offset int64) *Op {
	return h.begin(client, r, commit, offset)
}

// Seek begins a commit that may go back: a seek, or POST /offset with force.
func (h *History) Seek(client string, r Register, offset int64) *Op {
	return h.begin(client, r, seek, offset)
}

// Read begins a read of the committed offset.
func (h *History) Read(client string, r Register) *Op {
	return h.begin(client, r, read, None)
}

func (h *History) begin(client string, r Register, k kind, offset int64) *Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	op := &Op{history: h, client: client, register: r, kind: k, offset: offset, begun: h.clock}
	h.ops = append(h.ops, op)
	return op
}

// Acked ends a commit or seek that was acknowledged.
func (o *Op) Acked() { o.end(acked, func() {}) }

// Returned ends a read that was answered with this offset, or None.
func (o *Op) Returned(offset int64) { o.end(acked, func() { o.offset = offset }) }

// Behind ends a commit that was refused, with outcome none, because the committed
// offset is greater already: current.
func (o *Op) Behind(current int64) { o.end(behind, func() { o.current = current }) }

// Refused ends an operation that was answered with outcome none, so that it has
// changed nothing.
func (o *Op) Refused() { o.end(refused, func() {}) }

func (o *Op) end(res result, set func()) {
	h := o.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.result != pending {
		panic("BUG: an operation was ended twice: " + o.String())
	}
	h.clock++
	set()
	o.result, o.ended = res, h.clock
}

func (o *Op) String() string {
	verb := [...]string{commit: "commit", seek: "seek", read: "read"}[o.kind]
	if o.kind != read {
		verb = fmt.Sprintf("%s %d", verb, o.offset)
	}
	switch {
	case o.result == acked && o.kind == read:
		verb += fmt.Sprintf(": %d", o.offset)
	case o.result == acked:
		verb += ": acknowledged"
	case o.result == behind:
		verb += fmt.Sprintf(": refused, it is at %d", o.current)
	case o.result == refused:
		verb += ": refused"
	default:
		verb += ": unknown"
	}
	end := "..."
	if o.result != pending {
		end = fmt.Sprint(o.ended)
	}
	return fmt.Sprintf("[%d, %s] %s %s", o.begun, end, o.client, verb)
}

// Size returns the number of operations, and of those that were not ended.
func (h *History) Size() (ops, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.ops {
		if o.result == pending {
			unknown++
		}
	}
	return len(h.ops), unknown
}
