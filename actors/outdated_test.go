package actors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func ledgerWith(broker int, opens uint64, peers map[int]uint64, held ...ledgerReplica) *ledger {
	return &ledger{file: ledgerFile{ClusterID: "c", Broker: broker, Opens: opens, Peers: peers, Replicas: held}}
}

func TestCompareLedgers(t *testing.T) {
	tests := map[string]struct {
		ledgers map[int]*ledger
		old     []int
	}{
		"first start": {map[int]*ledger{1: ledgerWith(1, 0, nil), 2: ledgerWith(2, 0, nil), 3: ledgerWith(3, 0, nil)}, nil},
		"all as they were closed": {map[int]*ledger{
			1: ledgerWith(1, 4, map[int]uint64{2: 6, 3: 4}), 2: ledgerWith(2, 6, map[int]uint64{1: 4, 3: 4}), 3: ledgerWith(3, 4, map[int]uint64{1: 4, 2: 6}),
		}, nil},
		"killed after all had raised, before any noted": {map[int]*ledger{
			1: ledgerWith(1, 5, map[int]uint64{2: 6, 3: 4}), 2: ledgerWith(2, 7, map[int]uint64{1: 4, 3: 4}), 3: ledgerWith(3, 5, map[int]uint64{1: 4, 2: 6}),
		}, nil},
		"killed when one had raised and nobody else": {map[int]*ledger{
			1: ledgerWith(1, 5, map[int]uint64{2: 6}), 2: ledgerWith(2, 6, map[int]uint64{1: 4}),
		}, nil},
		"written by a version that noted nothing": {map[int]*ledger{1: ledgerWith(1, 90, nil), 2: ledgerWith(2, 3, nil)}, nil},
		"an older copy of 2": {map[int]*ledger{
			1: ledgerWith(1, 9, map[int]uint64{2: 6, 3: 4}), 2: ledgerWith(2, 5, map[int]uint64{1: 4}), 3: ledgerWith(3, 4, map[int]uint64{1: 9}),
		}, []int{2}},
		"only one peer has seen it": {map[int]*ledger{
			1: ledgerWith(1, 9, nil), 2: ledgerWith(2, 5, nil), 3: ledgerWith(3, 4, map[int]uint64{2: 6}),
		}, []int{2}},
		"two older copies of different ages": {map[int]*ledger{
			1: ledgerWith(1, 3, nil), 2: ledgerWith(2, 5, map[int]uint64{1: 4}), 3: ledgerWith(3, 9, map[int]uint64{1: 8, 2: 8}),
		}, []int{1, 2}},
		"a lost one": {map[int]*ledger{2: ledgerWith(2, 5, map[int]uint64{1: 7}), 3: ledgerWith(3, 9, map[int]uint64{1: 8})}, []int{1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var old []int
			for b := 1; b <= 3; b++ {
				if compareLedgers(3, tt.ledgers)[b].outdated() {
					old = append(old, b)
				}
			}
			assert.Equal(t, tt.old, old)
		})
	}
}

func TestWithoutMajority(t *testing.T) {
	held := func(brokers ...int) map[int]*ledger {
		ledgers := map[int]*ledger{}
		for b := 1; b <= 5; b++ {
			ledgers[b] = ledgerWith(b, 1, nil)
		}
		for i, b := range brokers {
			ledgers[b].file.Replicas = append(ledgers[b].file.Replicas, entry("t", 0, uint64(i+1)))
		}
		return ledgers
	}
	tests := map[string]struct {
		ledgers map[int]*ledger
		old     []int
		want    []string
	}{
		"none is old":                       {held(1, 2, 3), nil, nil},
		"one of three":                      {held(1, 2, 3), []int{2}, nil},
		"two of three":                      {held(1, 2, 3), []int{2, 3}, []string{"t-0"}},
		"two brokers, one of three":         {held(1, 2, 3), []int{3, 4}, nil},
		"two of five":                       {held(1, 2, 3, 4, 5), []int{1, 5}, nil},
		"one of two":                        {held(1, 2), []int{2}, []string{"t-0"}},
		"nowhere else: it may be deleted":   {held(2), []int{2}, nil},
		"all of them: only ledgers of olds": {held(1, 2, 3), []int{1, 2, 3}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			isOld := map[int]bool{}
			for _, b := range tt.old {
				isOld[b] = true
			}
			assert.Equal(t, tt.want, withoutMajority(tt.ledgers, func(b int) bool { return isOld[b] }))
		})
	}
}

func TestIntroductions(t *testing.T) {
	broken := errors.New("disk")
	tests := map[string]struct {
		running, fresh []int
		answers        map[int]error // no entry: none in time
		in             []int
		refused        []int
	}{
		"all open together":                {nil, []int{1, 2, 3}, map[int]error{1: nil, 2: nil, 3: nil}, []int{1, 2, 3}, nil},
		"one comes back":                   {[]int{1, 3}, []int{2}, map[int]error{1: nil, 2: nil, 3: nil}, []int{2}, nil},
		"its own ledger fails":             {[]int{1, 3}, []int{2}, map[int]error{1: nil, 2: broken, 3: nil}, nil, []int{2}},
		"one of two peers fails":           {[]int{1, 3}, []int{2}, map[int]error{1: broken, 2: nil, 3: nil}, []int{2}, nil},
		"no peer can note it":              {[]int{1, 3}, []int{2}, map[int]error{1: broken, 2: nil, 3: broken}, nil, []int{2}},
		"no peer answers":                  {[]int{1, 3}, []int{2}, map[int]error{2: nil}, nil, []int{2}},
		"alone":                            {nil, []int{2}, map[int]error{2: nil}, []int{2}, nil},
		"one of three hangs at the start":  {nil, []int{1, 2, 3}, map[int]error{1: nil, 3: nil}, []int{1, 3}, []int{2}},
		"two of three hang at the start":   {nil, []int{1, 2, 3}, map[int]error{1: nil}, nil, []int{1, 2, 3}},
		"a guest is not its own only peer": {[]int{1}, []int{2}, map[int]error{1: broken, 2: nil}, nil, []int{2}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			i := newIntroductions()
			for _, b := range tt.fresh {
				i.fresh[b] = true
			}
			i.begin(tt.running)
			for b, err := range tt.answers {
				i.answered(i.round-1, b, nil) // of an earlier round
				i.answered(i.round, b, err)
				i.answered(i.round, b, nil) // again
			}
			assert.Equal(t, len(tt.answers) < len(tt.running)+len(tt.fresh), i.underWay())
			in, refused := i.conclude()
			assert.Equal(t, tt.in, in)
			assert.Len(t, refused, len(tt.refused))
			for _, b := range tt.refused {
				assert.Error(t, refused[b])
			}
			assert.False(t, i.underWay())
		})
	}
}

func TestLedgerNotesPeers(t *testing.T) {
	l, dir := newLedger(t)
	require.NoError(t, l.notePeers(map[int]uint64{1: 4, 2: 99, 3: 7}), "2 is itself")
	require.NoError(t, l.notePeers(map[int]uint64{1: 3}), "older news")
	reopened, err := openLedger(dir, "c1", 2, 0)
	require.NoError(t, err)
	assert.Equal(t, map[int]uint64{1: 4, 3: 7}, reopened.peers())
	require.NoError(t, reopened.raise(0))
	assert.EqualValues(t, 3, reopened.openCount())
	seeded, err := openLedger(dir, "c1", 2, 40)
	require.NoError(t, err)
	assert.EqualValues(t, 41, seeded.openCount(), "beyond what the peers have seen")
	seeded.disk.hook = func(string) error { t.Error("a write for nothing new"); return nil }
	require.NoError(t, seeded.notePeers(map[int]uint64{1: 4, 2: 1 << 40}))
}

// A ledger of the version before has no counts of peers; it opens, and keeps
// its format until it gets some.
func TestLedgerOfTheVersionBefore(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, ledgerName), []byte(ledgerBefore), 0o600))
	l, err := openLedger(dir, "c1", 2, 0)
	require.NoError(t, err)
	assert.EqualValues(t, 5, l.openCount())
	assert.Len(t, l.replicas(), 1)
	assert.Equal(t, 1, l.file.FormatVersion)
	require.NoError(t, l.notePeers(map[int]uint64{1: 1}))
	assert.Equal(t, 2, l.file.FormatVersion)
}

const ledgerBefore = `{
  "format_version": 1,
  "checksum": "01682d00",
  "cluster_id": "c1",
  "broker": 2,
  "opens": 4,
  "replicas": [
    {
      "topic_id": "id-a",
      "topic": "a",
      "partition": 0,
      "replica_id": 1,
      "state": "live"
    }
  ]
}
`

// A copy of a directory that was made while the process ran, put back after
// the process was killed: no stop was counted, but time was.
func TestCopyOfARunningBrokerIsOlderAfterAWhile(t *testing.T) {
	dir, image, old := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "old")
	quick := func(o *Options) { o.raiseInterval = 50 * time.Millisecond }
	n := startNode(t, dir, quick)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "kept", Partitions: ptr(1)})
	produce(t, n, "kept", 0, `"early"`)
	require.NoError(t, os.CopyFS(old, os.DirFS(filepath.Join(dir, "default", "broker-2"))))
	produce(t, n, "kept", 0, `"late"`)
	awaitSameLines(t, dir, "kept", 0)
	before, err := readLedger(old, n.env.manifests.list()[0].ID, 2)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		l, err := readLedger(filepath.Join(dir, "default", "broker-1"), before.file.ClusterID, 1)
		return err == nil && l.file.Peers[2] > before.openCount()
	}, patience, 10*time.Millisecond, "the peers note that the counter was raised")
	killed := map[int][]byte{} // the peers' ledgers as a kill would leave them
	for _, b := range []int{1, 3} {
		killed[b], err = os.ReadFile(filepath.Join(dir, "default", brokerDirName(b), ledgerName))
		require.NoError(t, err)
	}
	stopNode(t, n)

	require.NoError(t, os.CopyFS(image, os.DirFS(dir)))
	for b, data := range killed {
		require.NoError(t, os.WriteFile(filepath.Join(image, "default", brokerDirName(b), ledgerName), data, 0o600))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(image, "default", "broker-2")))
	require.NoError(t, os.CopyFS(filepath.Join(image, "default", "broker-2"), os.DirFS(old)))
	n = startNode(t, image)
	defer stopNode(t, n)
	awaitSettled(t, n)
	require.Equal(t, []string{`"early"`, `"late"`}, fetchAll(t, n, "kept", 0))
	awaitSameLines(t, image, "kept", 0)
	require.EqualValues(t, 1, n.Metrics().DirectoriesReplaced[directoryOutdated])
	require.DirExists(t, filepath.Join(image, "default", "broker-2.aside-1"))
}

// While a broker that forgot everything is being rebuilt, it is said why; a
// second start finds nothing to complain about.
func TestOutdatedBrokerIsRebuiltOnce(t *testing.T) {
	dir, old := t.TempDir(), filepath.Join(t.TempDir(), "old")
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "kept", Partitions: ptr(2)})
	stopNode(t, n)
	require.NoError(t, os.CopyFS(old, os.DirFS(filepath.Join(dir, "default", "broker-3"))))
	n = startNode(t, dir)
	produce(t, n, "kept", 1, `1`)
	_, err := n.StopBroker(context.Background(), "default", 3)
	require.Nil(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-3")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "default", "broker-3"), os.DirFS(old)))
	_, err = n.StartBroker(context.Background(), "default", 3)
	require.Nil(t, err)
	awaitSettled(t, n)
	require.EqualValues(t, 1, n.Metrics().DirectoriesReplaced[directoryOutdated])
	stopNode(t, n)

	n = startNode(t, dir)
	defer stopNode(t, n)
	awaitSettled(t, n)
	require.Zero(t, n.Metrics().DirectoriesReplaced[directoryOutdated])
	require.Empty(t, n.Readiness().Degraded)
	require.NoDirExists(t, filepath.Join(dir, "default", "broker-3.aside-2"))
}
