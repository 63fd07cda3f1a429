// Package offsetcheck holds what clients saw of committed offsets against what
// Ottla promises of them: each (group, topic, partition) is one register. A
// read returns the latest acknowledged commit or a concurrent one, and a
// commit never goes back. Porcupine looks for an order of all calls that
// explains all answers; there being none is a violation.
//
// Any number of clients write one History. An operation is begun before its
// request is sent and ended once, by what the answer said; one that is never
// ended, because the answer was lost or said "unknown", may have happened at
// any time since, or never:
//
//	h := offsetcheck.New()
//	r := offsetcheck.Register{Group: "g", Topic: "t", Partition: 3}
//
//	op := h.Commit("client 1", r, 17)  // before POST /offset, or a poll with ack=
//	switch {                           // after it
//	case status == 200:                op.Acked()
//	case code == "offset_regression":  op.Behind(details.current)  // outcome none only
//	case outcome == "none":            op.Refused()
//	}                                  // else leave it: unknown
//
//	op = h.Read("client 2", r)         // before GET /offset
//	op.Returned(row.committed)         // after it; None if committed is null
//
//	err := h.Check(time.Minute)        // at the end, when all clients have stopped
//
// A request on several partitions is one operation for each, begun and ended
// together. Each request is an operation of its own, a retry too. A group that
// joins commits where it starts: record that as a commit, or join and read
// before the history begins and record that read's value as an acked Commit.
// Offsets that automatic commits move are not known before the answer, so
// groups under test commit explicitly.
package offsetcheck

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// None is the offset of a register that nothing was committed to.
const None int64 = -1

// Register names one committed offset.
type Register struct {
	Group     string
	Topic     string
	Partition int
}

func (r Register) String() string { return fmt.Sprintf("%s on %s-%d", r.Group, r.Topic, r.Partition) }

// History is what clients did and saw. Its methods may be called from any
// goroutine.
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

// Op is one operation: begun, and ended at most once.
type Op struct {
	history  *History
	client   string
	register Register
	kind     kind
	offset   int64 // committed, or what a read returned
	current  int64 // with behind: what the register was said to be at
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

// Behind ends a commit that was refused, with outcome none, because the
// register is further already, at current.
func (o *Op) Behind(current int64) { o.end(behind, func() { o.current = current }) }

// Refused ends an operation that was answered with outcome none: nothing has
// happened.
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

// Size is the number of operations begun, and of those without an end.
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

// ErrUndecided is returned when the time was too short to find an order or to
// know that there is none.
var ErrUndecided = errors.New("offsetcheck: undecided within the time given")

// Violation is a register whose answers no order of the calls explains.
type Violation struct {
	Register Register
	Explains []string // the longest order found, by operation
	Fails    []string // all operations that are in none of the longest orders
}

func (v *Violation) Error() string {
	tail := v.Explains[max(0, len(v.Explains)-10):]
	return fmt.Sprintf("the committed offset of %v is no register; the longest explanation has %d calls and ends with\n  %s\nnot explained:\n  %s",
		v.Register, len(v.Explains), strings.Join(tail, "\n  "), strings.Join(v.Fails, "\n  "))
}

// Check returns nil if all registers behaved; else one *Violation for each
// that did not, joined. Within limit for each register; 0 means no limit.
func (h *History) Check(limit time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	byRegister := map[Register][]*Op{}
	var order []Register
	for _, o := range h.ops {
		if byRegister[o.register] == nil {
			order = append(order, o.register)
		}
		byRegister[o.register] = append(byRegister[o.register], o)
	}
	var errs []error
	for _, r := range order {
		if err := checkRegister(r, byRegister[r], limit); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func checkRegister(r Register, ops []*Op, limit time.Duration) error {
	ops = relevant(ops)
	history := make([]porcupine.Operation, len(ops))
	for i, o := range ops {
		history[i] = porcupine.Operation{Input: o, Output: o, Call: o.begun, Return: o.ended}
		if o.result == pending {
			history[i].Return = passed(ops, o)
		}
	}
	res, info := porcupine.CheckOperationsVerbose(model, history, limit)
	switch res {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%w: %v, %d calls", ErrUndecided, r, len(ops))
	}
	return explain(r, ops, info.PartialLinearizationsOperations())
}

// relevant leaves out what cannot matter: reads without an answer, what was
// refused, and commits of unknown outcome whose offset nobody ever saw. If an
// order exists with such a commit, there is one without it, because nothing
// but a sight of it tells it from the smaller offset before it. Of several
// unknown commits of one offset the first may as well stand for all, unless
// there are seeks. This keeps the search short: each call that never ends
// doubles it in the worst case.
func relevant(ops []*Op) []*Op {
	seen, seeks := map[int64]bool{}, false
	for _, o := range ops {
		seeks = seeks || o.kind == seek
		switch {
		case o.kind == read && o.result == acked:
			seen[o.offset] = true
		case o.result == behind:
			seen[o.current] = true
		}
	}
	sent := map[int64]bool{}
	return slices.DeleteFunc(slices.Clone(ops), func(o *Op) bool {
		switch {
		case o.result == refused || o.result == pending && o.kind == read:
			return true
		case o.result != pending || o.kind != commit:
			return false
		case sent[o.offset] && !seeks:
			return true
		}
		sent[o.offset] = true
		return !seen[o.offset]
	})
}

// passed is when an unknown commit has lost its chance: from the first answer
// on that shows its offset or a greater one it changes nothing, whether it
// happens or not, for the offset does not go back. So it may as well end with
// that answer, which keeps the search short where many answers are lost. After
// a seek nothing of that is certain.
func passed(ops []*Op, unknown *Op) int64 {
	end := int64(math.MaxInt64)
	for _, o := range ops {
		if o.kind == seek {
			return math.MaxInt64
		}
		shows := o.offset
		if o.result == behind {
			shows = o.current
		}
		if o.result != pending && shows >= unknown.offset {
			end = min(end, max(o.ended, unknown.begun+1))
		}
	}
	return end
}

// model is one register. Input and output are the operation itself; the state
// is the committed offset.
var model = porcupine.Model{
	Init: func() any { return None },
	Step: func(state, input, _ any) (bool, any) {
		at, o := state.(int64), input.(*Op)
		switch {
		case o.kind == read:
			return at == o.offset, at
		case o.kind == seek:
			return true, o.offset
		case o.result == behind:
			return at == o.current && at > o.offset, at
		case at > o.offset: // it was refused, if nobody knows the answer
			return o.result == pending, at
		}
		return true, o.offset
	},
	Hash: func(state any) uint64 { return uint64(state.(int64)) * 0x9e3779b97f4a7c15 },
}

func explain(r Register, ops []*Op, partial [][][]porcupine.Operation) *Violation {
	v := &Violation{Register: r}
	var longest []porcupine.Operation
	for _, found := range partial[0] {
		if len(found) > len(longest) {
			longest = found
		}
	}
	explained := map[*Op]bool{}
	for _, found := range partial[0] {
		if len(found) == len(longest) {
			for _, e := range found {
				explained[e.Input.(*Op)] = true
			}
		}
	}
	for _, e := range longest {
		v.Explains = append(v.Explains, e.Input.(*Op).String())
	}
	for _, o := range ops {
		if !explained[o] && len(v.Fails) < 10 {
			v.Fails = append(v.Fails, o.String())
		}
	}
	return v
}
