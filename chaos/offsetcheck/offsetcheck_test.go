package offsetcheck

import (
	"errors"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var reg = Register{Group: "g", Topic: "t"}

func acks(h *History, offset int64)  { h.Commit("c", reg, offset).Acked() }
func reads(h *History, offset int64) { h.Read("r", reg).Returned(offset) }

func TestHistoriesThatARegisterExplains(t *testing.T) {
	for name, write := range map[string]func(h *History){
		"nothing": func(*History) {},
		"read before, between and after": func(h *History) {
			reads(h, None)
			acks(h, 3)
			reads(h, 3)
			acks(h, 3)
			acks(h, 9)
			reads(h, 9)
		},
		"a concurrent commit is seen before its answer": func(h *History) {
			acks(h, 1)
			op := h.Commit("c", reg, 2)
			reads(h, 2)
			op.Acked()
		},
		"an unknown commit happens late": func(h *History) {
			acks(h, 1)
			h.Commit("c", reg, 5)
			reads(h, 1)
			reads(h, 5)
		},
		"an unknown commit of the first offset happens late": func(h *History) {
			h.Commit("c", reg, 0)
			reads(h, None)
			reads(h, None)
			reads(h, 0)
		},
		"an unknown commit never happens": func(h *History) {
			h.Commit("c", reg, 5)
			reads(h, None)
			acks(h, 3)
			reads(h, 3)
		},
		"an unknown commit comes after a greater one": func(h *History) {
			h.Commit("c", reg, 5)
			acks(h, 9)
			reads(h, 9)
			h.Commit("d", reg, 2).Behind(9)
		},
		"a seek goes back": func(h *History) {
			acks(h, 9)
			h.Seek("s", reg, 2).Acked()
			reads(h, 2)
			acks(h, 3)
		},
		"an unknown seek explains a smaller commit": func(h *History) {
			acks(h, 9)
			h.Seek("s", reg, 2)
			acks(h, 3)
			reads(h, 3)
		},
		"registers have nothing to do with each other": func(h *History) {
			acks(h, 9)
			h.Read("r", Register{Group: "g", Topic: "t", Partition: 1}).Returned(None)
		},
		"refusals and lost reads say nothing": func(h *History) {
			acks(h, 9)
			h.Commit("c", reg, 12).Refused()
			h.Read("r", reg)
			reads(h, 9)
		},
	} {
		h := New()
		write(h)
		require.NoError(t, h.Check(time.Minute), name)
	}
}

func TestHistoriesThatNoRegisterExplains(t *testing.T) {
	for name, write := range map[string]func(h *History){
		"an acknowledged commit is lost": func(h *History) {
			acks(h, 3)
			reads(h, None)
		},
		"the offset steps back": func(h *History) {
			acks(h, 3)
			acks(h, 9)
			reads(h, 3)
		},
		"the offset steps back before the eyes of another client": func(h *History) {
			op := h.Commit("c", reg, 9)
			acks(h, 3)
			reads(h, 9)
			reads(h, 3) // while the commit of 9 is not even answered
			op.Acked()
		},
		"the offset steps back after an unknown commit was seen": func(h *History) {
			acks(h, 3)
			h.Commit("c", reg, 9)
			reads(h, 9)
			reads(h, 3)
		},
		"nobody committed that": func(h *History) {
			acks(h, 3)
			reads(h, 4)
		},
		"a smaller commit is acknowledged": func(h *History) {
			acks(h, 9)
			acks(h, 3)
		},
		"a commit is refused for what is not there": func(h *History) {
			acks(h, 3)
			h.Commit("c", reg, 2).Behind(9)
		},
		"what was refused is there": func(h *History) {
			acks(h, 3)
			h.Commit("c", reg, 9).Refused()
			reads(h, 9)
		},
		"a commit is seen before it was sent": func(h *History) {
			reads(h, 9)
			acks(h, 9)
		},
	} {
		h := New()
		write(h)
		var v *Violation
		require.ErrorAs(t, h.Check(time.Minute), &v, name)
		require.Equal(t, reg, v.Register, name)
		require.NotEmpty(t, v.Fails, name)
		require.NotEmpty(t, v.Error())
	}
}

// TestRandomHistories plays clients on a register that really is one, and then
// the same with one read of it replaced by an older value.
func TestRandomHistories(t *testing.T) {
	found := 0
	for seed := range int64(200) {
		rnd := rand.New(rand.NewSource(seed))
		h := play(rnd, 300)
		require.NoError(t, h.Check(time.Minute), "seed %d", seed)
		if spoil(h) {
			require.Error(t, h.Check(time.Minute), "seed %d", seed)
			found++
		}
	}
	require.Greater(t, found, 150)
}

// play has five clients commit and read; each call happens at some moment
// between its begin and its end, or never, and its answer may be lost.
func play(rnd *rand.Rand, calls int) *History {
	type call struct {
		op     *Op
		finish func()
	}
	h, at := New(), None
	var under []call
	for range calls {
		if len(under) > 4 || len(under) > 0 && rnd.Intn(2) == 0 {
			i := rnd.Intn(len(under))
			under[i].finish()
			under = append(under[:i], under[i+1:]...)
			continue
		}
		lost := rnd.Intn(10) == 0
		if rnd.Intn(2) == 0 {
			op := h.Read("r", reg)
			under = append(under, call{op, func() {
				if !lost {
					op.Returned(at)
				}
			}})
			continue
		}
		offset := max(at, 0) + rnd.Int63n(5)
		op := h.Commit("c", reg, offset)
		under = append(under, call{op, func() {
			was := at
			if never := lost && rnd.Intn(2) == 0; !never {
				at = max(at, offset)
			}
			switch {
			case lost:
			case was > offset:
				op.Behind(was)
			default:
				op.Acked()
			}
		}})
	}
	return h
}

// spoil makes the last answered read return what was committed long before.
func spoil(h *History) bool {
	for i := len(h.ops) - 1; i >= 0; i-- {
		o := h.ops[i]
		if o.kind != read || o.result != acked {
			continue
		}
		for _, p := range h.ops[:i] {
			if p.kind == commit && p.result == acked && p.offset > 5 && p.ended < o.begun {
				o.offset = 1
				return true
			}
		}
	}
	return false
}

func TestLongHistoryWithManyUnknownsIsDecided(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	h := play(rnd, 10000)
	ops, unknown := h.Size()
	require.Greater(t, ops, 4000)
	require.Greater(t, unknown, 300)
	err := h.Check(time.Minute)
	require.False(t, errors.Is(err, ErrUndecided))
	require.NoError(t, err)
}

// A client that sends its commit again and again while no answer comes.
func TestManyUnknownRetriesAreDecided(t *testing.T) {
	h := New()
	for round := range int64(200) {
		for range 30 {
			h.Commit("c", reg, round)
		}
		reads(h, round)
		reads(h, round)
	}
	began := time.Now()
	require.NoError(t, h.Check(time.Minute))
	require.Less(t, time.Since(began), 30*time.Second)
	reads(h, 198)
	var v *Violation
	require.ErrorAs(t, h.Check(time.Minute), &v)
}

func TestAnOperationEndsOnce(t *testing.T) {
	op := New().Commit("c", reg, 1)
	op.Acked()
	require.Panics(t, op.Acked)
}
