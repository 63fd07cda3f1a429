package forced

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/logfile"
	"ottla/protocol"
)

// membership is the membership in the checkpoint that a copy begins with.
func (h *byHand) membership(broker int, topic string) []byte {
	h.t.Helper()
	found, err := logfile.Inspect(logfile.OSFS{}, h.log(broker, topic), bootOptions())
	require.NoError(h.t, err)
	return found.Checkpoint.ConfState
}

// liveOn is the replica id of a topic that a broker's ledger has as live, 0 if
// there is none.
func (h *byHand) liveOn(broker int, topic string) uint64 {
	for _, r := range h.ledger(broker).Replicas() {
		if r.Topic == topic && r.State == datadir.ReplicaLive {
			return r.ReplicaID
		}
	}
	return 0
}

// putAside counts the directories of a topic that were put aside on a broker.
func (h *byHand) putAside(broker int, topic string) int {
	dirs, err := filepath.Glob(h.log(broker, topic) + ".replaced-*")
	require.NoError(h.t, err)
	return len(dirs)
}

// requireForced checks what a completed change of topic "kept" leaves: the
// survivor alone, with all its records, in a term that nobody has seen; and no
// other copy that could come back.
func (h *byHand) requireForced(survivor int, records int64, others ...int) {
	h.t.Helper()
	found, err := logfile.Inspect(logfile.OSFS{}, h.log(survivor, "kept"), bootOptions())
	require.NoError(h.t, err)
	sole, err := SoleVoter(found.Checkpoint.ConfState, h.liveOn(survivor, "kept"))
	require.NoError(h.t, err)
	require.True(h.t, sole)
	require.Equal(h.t, records, found.NextOffset)
	require.Greater(h.t, found.HardTerm, uint64(1<<20))
	for _, n := range others {
		require.Zero(h.t, h.liveOn(n, "kept"), "the ledger of broker %d", n)
		require.NoDirExists(h.t, h.log(n, "kept"))
		require.True(h.t, datadir.ReplacesLost(h.broker(n)), "its voters must not look as if they had never been created")
	}
	require.Empty(h.t, h.plan().Partitions, "once is enough")
}

func TestExecute(t *testing.T) {
	tests := map[string]struct {
		accident func(h *byHand)
		survivor int
		records  int64
		others   []int // whose brokers are there
		aside    map[int]int
	}{
		"two copies damaged": {
			func(h *byHand) { h.damage("kept", 1, 3) }, 2, 2, []int{1, 3}, map[int]int{1: 1, 2: 0, 3: 1},
		},
		"two copies missing": {
			func(h *byHand) { h.remove("kept", 1, 3) }, 2, 2, []int{1, 3}, map[int]int{1: 0, 2: 0, 3: 0},
		},
		"two brokers lost": {
			func(h *byHand) { h.lose(1, 3) }, 2, 2, nil, map[int]int{2: 0},
		},
		"older copies": {
			func(h *byHand) { h.produce(3, 2, 4); h.restoreOlder(2, 3); h.lose(1) }, 3, 6, []int{2}, map[int]int{2: 1, 3: 0},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newByHand(t)
			tt.accident(h)
			require.NoError(t, h.plan().Execute())
			h.requireForced(tt.survivor, tt.records, tt.others...)
			for n, want := range tt.aside {
				assert.Equal(t, want, h.putAside(n, "kept"), "broker %d", n)
			}
		})
	}
}

// What has its majority is left alone, to the byte; and a plan without anything
// to do writes nothing.
func TestExecuteLeavesAloneWhatIsWhole(t *testing.T) {
	h := newByHand(t)
	before := h.content()
	require.NoError(t, h.plan().Execute())
	require.Equal(t, before, h.content())

	h.remove("kept", 1, 3)
	require.NoError(t, h.plan().Execute())
	after := h.content()
	for _, topic := range []string{protocol.MetadataTopic, protocol.OffsetsTopic} {
		for n := 1; n <= 3; n++ {
			require.NotZero(t, h.liveOn(n, topic))
			path := "/c/" + datadir.BrokerDirName(n) + "/" + topic + "-0/00000000000000000000.log"
			require.NotEmpty(t, before[path])
			require.Equal(t, before[path], after[path])
		}
	}
}

// A lost broker's directory that turns up again must be an older copy: what it
// holds was given up.
func TestLostDirectoryThatReturnsIsAnOlderCopy(t *testing.T) {
	h := newByHand(t)
	returning := h.copyOf()
	for range 100 { // opened often since its peers noted its count
		require.NoError(t, returning.ledger(1).Raise(0))
	}
	h.lose(1)
	h.remove("kept", 2)
	require.NoError(t, h.plan().Execute())
	require.NoError(t, os.CopyFS(h.broker(1), os.DirFS(returning.broker(1))))

	ledgers := map[int]*datadir.Ledger{1: h.ledger(1), 2: h.ledger(2), 3: h.ledger(3)}
	ages := datadir.CompareLedgers(3, ledgers)
	assert.True(t, datadir.IsOldCopy(h.broker(1), ledgers[1], ages[1]))
	assert.False(t, datadir.IsOldCopy(h.broker(3), ledgers[3], ages[3]))
	assert.GreaterOrEqual(t, ages[1].Known, uint64(1<<32))
}

// When the survivor is in an older copy of a broker's directory, that directory
// counts as current afterwards. So what else is in it, and is older than what the
// peers have, must be given up.
func TestSurvivorInAnOlderCopyIsAllThatIsKeptOfIt(t *testing.T) {
	h := newByHand(t)
	h.restoreOlder(2)
	h.remove("kept", 1, 3)
	require.NoError(t, h.plan().Execute())
	h.requireForced(2, 2, 1, 3)
	for _, topic := range []string{protocol.MetadataTopic, protocol.OffsetsTopic} {
		assert.Zero(t, h.liveOn(2, topic))
		assert.Equal(t, 1, h.putAside(2, topic))
		assert.NotZero(t, h.liveOn(1, topic))
	}
}

// A plan that was overtaken is refused, and a new one goes on.
func TestExecuteOfAnOvertakenPlan(t *testing.T) {
	h := newByHand(t)
	h.remove("kept", 1, 3)
	p := h.plan()
	h.produce(2, 2, 1)
	require.ErrorContains(t, p.Execute(), "has changed since it was inspected")
	require.NoError(t, h.plan().Execute())
	h.requireForced(2, 3, 1, 3)
}

var errCrash = errors.New("crash")

// After a crash at any step a new plan completes what the old one began, and the
// survivor stays the same.
func TestExecuteIsCompletedAfterACrash(t *testing.T) {
	base := newByHand(t)
	base.produce(3, 2, 4)
	base.restoreOlder(2, 3)
	base.lose(1)
	for step := 0; ; step++ {
		h := base.copyOf()
		p := h.plan()
		require.Len(t, p.Partitions, 3)
		left := step
		p.OnWrite(func(string) error {
			if left--; left < 0 {
				return errCrash
			}
			return nil
		})
		err := p.Execute()
		if err == nil {
			require.Greater(t, step, 10, "there are at least as many steps")
			return
		}
		require.ErrorIs(t, err, errCrash)
		require.NoError(t, h.plan().Execute(), "step %d", step)
		h.requireForced(3, 6, 2)
		ages := datadir.CompareLedgers(3, map[int]*datadir.Ledger{2: h.ledger(2), 3: h.ledger(3)})
		for n := 2; n <= 3; n++ {
			require.False(t, datadir.IsOldCopy(h.broker(n), h.ledger(n), ages[n]), "step %d: broker %d", step, n)
		}
	}
}
