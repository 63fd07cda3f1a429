package offsetcheck

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// ErrUndecided says that the time limit was too short to find an order, or to know
// that there is none.
var ErrUndecided = errors.New("offsetcheck: undecided within the time limit")

// Violation is a register with answers that no order of the calls explains.
type Violation struct {
	Register Register
	Explains []string // the operations of the longest order that was found
	Fails    []string // the first operations that are in none of the longest orders
}

func (v *Violation) Error() string {
	tail := v.Explains[max(0, len(v.Explains)-10):]
	return fmt.Sprintf("the committed offset of %v did not behave like a register; the longest order that explains answers has %d calls and ends with\n  %s\nnot explained:\n  %s",
		v.Register, len(v.Explains), strings.Join(tail, "\n  "), strings.Join(v.Fails, "\n  "))
}

// Check returns nil if all registers behaved as promised, else one *Violation for
// each that did not, joined. limit is the time for each register, 0 for no limit;
// when it is exceeded the error matches ErrUndecided.
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

// relevant leaves out operations that cannot matter: reads without an answer, those
// that were refused, and commits of unknown outcome whose offset no answer shows.
// If there is an order with such a commit, there is one without it, because only an
// answer that shows the offset distinguishes it from the smaller one before. Of
// several unknown commits of one offset the first can stand for all, unless there
// are seeks. This keeps the search short: each call that never ends doubles it in
// the worst case.
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

// passed returns the time from which a commit of unknown outcome cannot matter any
// more: that of the first answer that shows its offset or a greater one, since the
// offset does not decrease. The commit can end with that answer, which keeps the
// search short when many answers are lost. With seeks this is not certain.
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

// model is one register. Input and output are the operation itself, the state is
// the committed offset.
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
		case at > o.offset: // it was refused, if the answer is not known
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
