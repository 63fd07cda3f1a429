package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newLedger(t *testing.T) (*Ledger, string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, CreateLedger(dir, "c1", 2))
	l, err := OpenLedger(dir, "c1", 2, 0)
	require.NoError(t, err)
	return l, dir
}

func entry(topic string, partition int, id uint64) Replica {
	return Replica{TopicID: "id-" + topic, Topic: topic, Partition: partition, ReplicaID: id, State: ReplicaLive}
}

func TestLedgerRemembers(t *testing.T) {
	l, dir := newLedger(t)
	assert.Equal(t, uint64(1), l.OpenCount())
	a, b, again := entry("a", 0, 7), entry("a", 1, 7), entry("a", 0, 8)
	require.NoError(t, l.Add(a, b), "ids are unique within a partition only")
	require.NoError(t, l.Add(a), "nothing new")
	require.NoError(t, l.Mark(ReplicaLost, a.Key()))
	require.NoError(t, l.Add(again))
	require.NoError(t, l.Mark(ReplicaDeleted, b.Key()))

	a.State, b.State = ReplicaLost, ReplicaDeleted
	want := []Replica{a, b, again}
	assert.Equal(t, want, l.Replicas())
	reopened, err := OpenLedger(dir, "c1", 2, 0)
	require.NoError(t, err)
	assert.Equal(t, want, reopened.Replicas())
	assert.Equal(t, uint64(2), reopened.OpenCount())
	got, ok := reopened.Live(a.TopicID, 0)
	assert.True(t, ok)
	assert.Equal(t, again, got)
	_, ok = reopened.Live(b.TopicID, 1)
	assert.False(t, ok)

	require.NoError(t, reopened.Remove(b.Key(), b.Key()))
	reopened, err = OpenLedger(dir, "c1", 2, 0)
	require.NoError(t, err)
	assert.Equal(t, []Replica{a, again}, reopened.Replicas())
}

// Names of topics may look like those of directories that are removed.
func TestNoReplicaIsTakenForOneThatIsRemoved(t *testing.T) {
	l, dir := newLedger(t)
	gone, other, anew := entry("a", 0, 7), entry("a-0.moved", 7, 1), entry("a", 0, 7)
	anew.TopicID = "id-of-the-next-a"
	require.NoError(t, l.Add(gone, other, anew))
	require.NoError(t, l.Mark(ReplicaDeleted, gone.Key()))
	for _, name := range []string{logDirName(other), logDirName(anew), anew.MovedDir()} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o750))
	}
	assert.Empty(t, l.HalfMoved())
	require.NoError(t, os.Mkdir(filepath.Join(dir, gone.MovedDir()), 0o750), "it is free")
	gone.State = ReplicaDeleted
	assert.Equal(t, []Replica{gone}, l.HalfMoved())
}

func TestLedgerRefuses(t *testing.T) {
	base := []Replica{entry("live", 0, 1), entry("lost", 0, 2), entry("deleted", 0, 3)}
	tests := map[string]func(l *Ledger) error{
		"a second live replica":          func(l *Ledger) error { return l.Add(entry("live", 0, 9)) },
		"two live replicas in one call":  func(l *Ledger) error { return l.Add(entry("new", 0, 1), entry("new", 0, 2)) },
		"an id that was lost":            func(l *Ledger) error { return l.Add(entry("lost", 0, 2)) },
		"an id that was deleted":         func(l *Ledger) error { return l.Add(entry("deleted", 0, 3)) },
		"id 0":                           func(l *Ledger) error { return l.Add(entry("new", 0, 0)) },
		"marking what is not there":      func(l *Ledger) error { return l.Mark(ReplicaLost, entry("live", 1, 1).Key()) },
		"forgetting what is not deleted": func(l *Ledger) error { return l.Remove(base[1].Key()) },
		"a good one beside a bad one":    func(l *Ledger) error { return l.Add(entry("new", 0, 1), entry("live", 0, 9)) },
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			l, dir := newLedger(t)
			require.NoError(t, l.Add(base...))
			require.NoError(t, l.Mark(ReplicaLost, base[1].Key()))
			require.NoError(t, l.Mark(ReplicaDeleted, base[2].Key()))
			before := l.Replicas()
			require.Error(t, act(l))
			assert.Equal(t, before, l.Replicas())
			reopened, err := OpenLedger(dir, "c1", 2, 0)
			require.NoError(t, err)
			assert.Equal(t, before, reopened.Replicas())
		})
	}
}

func TestLedgerStatesOnlyMoveOn(t *testing.T) {
	l, _ := newLedger(t)
	r := entry("a", 0, 1)
	require.NoError(t, l.Add(r))
	for _, s := range []ReplicaState{ReplicaLost, ReplicaLive, ReplicaDeleted, ReplicaLost} {
		require.NoError(t, l.Mark(s, r.Key()))
	}
	assert.Equal(t, ReplicaDeleted, l.Replicas()[0].State)
}

func TestLedgerBurstIsOneWrite(t *testing.T) {
	l, dir := newLedger(t)
	writes := 0
	l.disk.hook = func(string) error { writes++; return nil }
	var burst []Replica
	for i := range 1000 {
		burst = append(burst, entry("a", i, 1))
	}
	require.NoError(t, l.Add(burst...))
	assert.Equal(t, 2, writes, "one write, one rename")
	l, err := OpenLedger(dir, "c1", 2, 0)
	require.NoError(t, err)
	assert.Len(t, l.Replicas(), 1000)
}

var errCrash = errors.New("crash")

func TestLedgerCrashLeavesOldOrNew(t *testing.T) {
	for step, after := range map[string]int{"before the write": 0, "before the rename": 1} {
		t.Run(step, func(t *testing.T) {
			l, dir := newLedger(t)
			require.NoError(t, l.Add(entry("a", 0, 1)))
			l.disk.hook = crashAfter(after)
			require.ErrorIs(t, l.Add(entry("a", 1, 1)), errCrash)
			assert.Len(t, l.Replicas(), 1)
			l, err := OpenLedger(dir, "c1", 2, 0)
			require.NoError(t, err)
			assert.Len(t, l.Replicas(), 1)
		})
	}
}

// crashAfter lets n steps happen, and none after them.
func crashAfter(n int) func(string) error {
	return func(string) error {
		if n--; n < 0 {
			return errCrash
		}
		return nil
	}
}

func TestOpenLedgerRefuses(t *testing.T) {
	damaged := func(err error) bool { var d *DamagedFileError; return errors.As(err, &d) }
	newer := func(err error) bool { var n *NewerFormatError; return errors.As(err, &n) }
	tests := map[string]struct {
		content func(good []byte) []byte
		want    func(error) bool
	}{
		"empty":            {func([]byte) []byte { return nil }, damaged},
		"cut short":        {func(b []byte) []byte { return b[:len(b)/2] }, damaged},
		"a flipped digit":  {func(b []byte) []byte { return replaceOnce(b, `"replica_id": 41`, `"replica_id": 40`) }, damaged},
		"an unknown field": {func(b []byte) []byte { return replaceOnce(b, `"opens"`, `"opened"`) }, damaged},
		"no version":       {func(b []byte) []byte { return replaceOnce(b, `"format_version": 1`, `"format_version": 0`) }, damaged},
		"another broker":   {func(b []byte) []byte { return replaceOnce(b, `"broker": 2`, `"broker": 3`) }, damaged},
		"a newer version":  {func(b []byte) []byte { return replaceOnce(b, `"format_version": 1`, `"format_version": 3, "x": 1`) }, newer},
		"zeros":            {func(b []byte) []byte { return make([]byte, len(b)) }, damaged},
		"something after":  {func(b []byte) []byte { return append(b, "{}"...) }, damaged},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, dir := newLedger(t)
			require.NoError(t, l.Add(entry("a", 0, 41)))
			path := filepath.Join(dir, ledgerName)
			good, err := os.ReadFile(path)
			require.NoError(t, err)
			bad := tt.content(good)
			require.NoError(t, os.WriteFile(path, bad, 0o600))
			_, err = OpenLedger(dir, "c1", 2, 0)
			require.Error(t, err)
			assert.True(t, tt.want(err), err)
			assert.Contains(t, err.Error(), path)
			now, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, bad, append([]byte(nil), now...), "not overwritten")
		})
	}
}

func TestLedgerOfAnotherBroker(t *testing.T) {
	_, dir := newLedger(t)
	for name, open := range map[string]func() (*Ledger, error){
		"cluster": func() (*Ledger, error) { return OpenLedger(dir, "c2", 2, 0) },
		"broker":  func() (*Ledger, error) { return OpenLedger(dir, "c1", 1, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open()
			var d *DamagedFileError
			require.ErrorAs(t, err, &d)
		})
	}
}

func TestLedgerMissingOrThere(t *testing.T) {
	_, err := OpenLedger(t.TempDir(), "c1", 1, 0)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, dir := newLedger(t)
	require.ErrorIs(t, CreateLedger(dir, "c1", 2), os.ErrExist)
}

// FuzzOpenLedger: whatever the file holds, opening it neither panics nor
// accepts what this program cannot have written.
func FuzzOpenLedger(f *testing.F) {
	good, err := encodeSealed(&ledgerFile{ClusterID: "c1", Broker: 2, Replicas: []Replica{entry("a", 0, 1)}})
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte(`{"format_version":1,"checksum":"","replicas":[{}]}`))
	f.Add([]byte(`{"format_version":99}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, ledgerName)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		l, err := OpenLedger(dir, "c1", 2, 0)
		if err != nil {
			now, readErr := os.ReadFile(path)
			require.NoError(t, readErr)
			require.Equal(t, string(data), string(now))
			return
		}
		again, err := OpenLedger(dir, "c1", 2, 0)
		require.NoError(t, err)
		require.Equal(t, l.Replicas(), again.Replicas())
	})
}
