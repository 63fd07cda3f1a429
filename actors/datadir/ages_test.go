package datadir

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func ledgerWith(broker int, opens uint64, peers map[int]uint64, replicas ...Replica) *Ledger {
	return &Ledger{file: ledgerFile{ClusterID: "c", Broker: broker, Opens: opens, Peers: peers, Replicas: replicas}}
}

func TestCompareLedgers(t *testing.T) {
	tests := map[string]struct {
		ledgers map[int]*Ledger
		old     []int
	}{
		"first start": {map[int]*Ledger{1: ledgerWith(1, 0, nil), 2: ledgerWith(2, 0, nil), 3: ledgerWith(3, 0, nil)}, nil},
		"all as they were closed": {map[int]*Ledger{
			1: ledgerWith(1, 4, map[int]uint64{2: 6, 3: 4}), 2: ledgerWith(2, 6, map[int]uint64{1: 4, 3: 4}), 3: ledgerWith(3, 4, map[int]uint64{1: 4, 2: 6}),
		}, nil},
		"killed after all had raised, before any noted": {map[int]*Ledger{
			1: ledgerWith(1, 5, map[int]uint64{2: 6, 3: 4}), 2: ledgerWith(2, 7, map[int]uint64{1: 4, 3: 4}), 3: ledgerWith(3, 5, map[int]uint64{1: 4, 2: 6}),
		}, nil},
		"killed when one had raised and nobody else": {map[int]*Ledger{
			1: ledgerWith(1, 5, map[int]uint64{2: 6}), 2: ledgerWith(2, 6, map[int]uint64{1: 4}),
		}, nil},
		"written by a version that noted nothing": {map[int]*Ledger{1: ledgerWith(1, 90, nil), 2: ledgerWith(2, 3, nil)}, nil},
		"an older copy of 2": {map[int]*Ledger{
			1: ledgerWith(1, 9, map[int]uint64{2: 6, 3: 4}), 2: ledgerWith(2, 5, map[int]uint64{1: 4}), 3: ledgerWith(3, 4, map[int]uint64{1: 9}),
		}, []int{2}},
		"only one peer has seen it": {map[int]*Ledger{
			1: ledgerWith(1, 9, nil), 2: ledgerWith(2, 5, nil), 3: ledgerWith(3, 4, map[int]uint64{2: 6}),
		}, []int{2}},
		"two older copies of different ages": {map[int]*Ledger{
			1: ledgerWith(1, 3, nil), 2: ledgerWith(2, 5, map[int]uint64{1: 4}), 3: ledgerWith(3, 9, map[int]uint64{1: 8, 2: 8}),
		}, []int{1, 2}},
		"a lost one": {map[int]*Ledger{2: ledgerWith(2, 5, map[int]uint64{1: 7}), 3: ledgerWith(3, 9, map[int]uint64{1: 8})}, []int{1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var old []int
			for b := 1; b <= 3; b++ {
				if CompareLedgers(3, tt.ledgers)[b].outdated() {
					old = append(old, b)
				}
			}
			assert.Equal(t, tt.old, old)
		})
	}
}

func TestWithoutMajority(t *testing.T) {
	on := func(brokers ...int) map[int]*Ledger {
		ledgers := map[int]*Ledger{}
		for b := 1; b <= 5; b++ {
			ledgers[b] = ledgerWith(b, 1, nil)
		}
		for i, b := range brokers {
			ledgers[b].file.Replicas = append(ledgers[b].file.Replicas, entry("t", 0, uint64(i+1)))
		}
		return ledgers
	}
	tests := map[string]struct {
		ledgers map[int]*Ledger
		old     []int
		want    []string
	}{
		"none is old":                       {on(1, 2, 3), nil, nil},
		"one of three":                      {on(1, 2, 3), []int{2}, nil},
		"two of three":                      {on(1, 2, 3), []int{2, 3}, []string{"t-0"}},
		"two brokers, one of three":         {on(1, 2, 3), []int{3, 4}, nil},
		"two of five":                       {on(1, 2, 3, 4, 5), []int{1, 5}, nil},
		"one of two":                        {on(1, 2), []int{2}, []string{"t-0"}},
		"nowhere else: it may be deleted":   {on(2), []int{2}, nil},
		"all of them: only ledgers of olds": {on(1, 2, 3), []int{1, 2, 3}, nil},
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

func TestLedgerNotesPeers(t *testing.T) {
	l, dir := newLedger(t)
	require.NoError(t, l.NotePeers(map[int]uint64{1: 4, 2: 99, 3: 7}), "2 is itself")
	require.NoError(t, l.NotePeers(map[int]uint64{1: 3}), "older news")
	reopened, err := OpenLedger(dir, "c1", 2, 0)
	require.NoError(t, err)
	assert.Equal(t, map[int]uint64{1: 4, 3: 7}, reopened.Peers())
	require.NoError(t, reopened.Raise(0))
	assert.EqualValues(t, 3, reopened.OpenCount())
	seeded, err := OpenLedger(dir, "c1", 2, 40)
	require.NoError(t, err)
	assert.EqualValues(t, 41, seeded.OpenCount(), "beyond what the peers have seen")
	seeded.disk.hook = func(string) error { t.Error("a write for nothing new"); return nil }
	require.NoError(t, seeded.NotePeers(map[int]uint64{1: 4, 2: 1 << 40}))
}

// A ledger of format version 1 has no counts of peers. It opens, and keeps its
// format until it gets some.
func TestLedgerOfTheVersionBefore(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, ledgerName), []byte(ledgerBefore), 0o600))
	l, err := OpenLedger(dir, "c1", 2, 0)
	require.NoError(t, err)
	assert.EqualValues(t, 5, l.OpenCount())
	assert.Len(t, l.Replicas(), 1)
	assert.Equal(t, 1, l.file.FormatVersion)
	require.NoError(t, l.NotePeers(map[int]uint64{1: 1}))
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
