package mending

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

func brokerDir(broker int) string { return fmt.Sprintf("/data/broker-%d/liked-0", broker) }

func brokerIdentity(broker int) logfile.Identity {
	return logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "liked", Broker: broker, ReplicaID: uint64(broker)}
}

// brokers have copies of one log on a disk.
type brokers struct {
	t     *testing.T
	disk  *faultfs.FS
	opt   logfile.Options
	asked map[int]int // how often each was
}

// newBrokers writes entries of one large record each to copies 1, 3 and 5, and compacts them
// as far as they are sealed if compact is set.
func newBrokers(t *testing.T, entries, size int, compact bool) *brokers {
	b := &brokers{t: t, disk: faultfs.New(), opt: logfile.Options{SegmentBytes: 4 << 20, BootID: "b"}, asked: map[int]int{}}
	for broker := 1; broker <= 5; broker += 2 {
		require.NoError(t, b.disk.MkdirAll(fmt.Sprintf("/data/broker-%d", broker), 0o755))
		l, err := logfile.Create(b.disk, brokerDir(broker), brokerIdentity(broker), logfile.Checkpoint{HardTerm: 1}, b.opt)
		require.NoError(t, err)
		for i := range int64(entries) {
			body := fmt.Appendf(nil, "2026-01-01 00:00:00.000 liked 0 %d \"k%d\" {\"pad\":%q} PRODUCE\n", i, i, strings.Repeat("x", size))
			var batch logfile.Batch
			require.NoError(t, l.Append(&batch, []logfile.Frame{{
				Index: uint64(i + 1), Term: 1, Kind: logfile.KindRecords, BaseOffset: i, Count: 1, Body: body, BodySum: logfile.Checksum(body),
			}}))
			b.run(&batch)
			l.Synced(l.LastIndex())
		}
		l.Committed(l.LastIndex())
		l.SetApplied(l.LastIndex(), nil, nil)
		if compact {
			b.compact(l)
		}
		var batch logfile.Batch
		l.StageCheckpoint(&batch)
		l.StageSyncMark(&batch)
		b.run(&batch)
		require.NoError(t, l.Close())
	}
	return b
}

func (b *brokers) run(batch *logfile.Batch) {
	require.NoError(b.t, batch.Execute())
	for _, f := range batch.Files() {
		require.NoError(b.t, f.Sync())
	}
}

func (b *brokers) compact(l *logfile.Log) {
	to, next, _, _ := l.CompactionDue(l.LastIndex())
	set, err := l.CompactionSource().Compact(logfile.Compaction{Generation: l.LastIndex(), To: to, Next: next}, func(int) error { return nil })
	require.NoError(b.t, err)
	var name, drop logfile.Batch
	l.StageCompacted(&name, set)
	b.run(&name)
	l.AdoptCompacted(set)
	l.DropCompacted(&drop)
	b.run(&drop)
}

// harm damages those records of a copy that have some text in them, in files that have a
// line of a kind.
func (b *brokers) harm(broker int, line, text string) {
	list, err := b.disk.ReadDir(brokerDir(broker))
	require.NoError(b.t, err)
	n := 0
	for _, e := range list {
		path := brokerDir(broker) + "/" + e.Name()
		file, err := b.disk.ReadFile(path)
		require.NoError(b.t, err)
		file = bytes.Clone(file)
		if !bytes.Contains(file, []byte("\n"+line)) {
			continue
		}
		for record := range bytes.Lines(file) {
			if record[0] == '2' && bytes.Contains(record, []byte(text)) {
				copy(record[len(record)/2:], "YYYY")
				n++
			}
		}
		b.disk.WriteFile(path, file)
	}
	require.Positive(b.t, n)
}

// job mends copy 1. Brokers 3 and 5 lend what is wanted, 2 does not answer, and 4 has
// nothing.
func (b *brokers) job(lenders ...int) *Job {
	var j *Job
	j = NewJob(Patient{
		FS: b.disk, Dir: brokerDir(1), Identity: brokerIdentity(1), Log: b.opt, Broker: 1, Lenders: lenders,
		Tell: func(broker int, message any) {
			b.asked[broker]++
			switch m := message.(*Asked); broker {
			case 3, 5:
				dir := Copy{Path: brokerDir(broker), Openings: new(atomic.Uint64)}
				j.Answer(Lend(b.disk, m, brokerIdentity(broker), []Copy{dir}, nil))
			case 4:
				j.Answer(&Lent{From: 4, Key: m.Key, Seq: m.Seq, Err: "has no copy"})
			}
		},
	}, func(context.Context) func(int) error { return nil })
	b.t.Cleanup(j.Cancel)
	return j
}

// A broker that does not answer is waited for once and not for each MiB that is missing,
// and the one that gave is asked first the next time.
func TestMendJobAsksWhoGives(t *testing.T) {
	b := newBrokers(t, 10, 600<<10, false)
	b.harm(1, "#f ", "liked")
	b.harm(3, "#f ", "liked 0 5 ")
	j := b.job(2, 3, 4, 5)
	j.patience = 500 * time.Millisecond
	found, err := j.Run()
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, 1, b.asked[2])
	require.Equal(t, 1, b.asked[4], "when broker 3 had not what came next")
	require.Greater(t, b.asked[5], 2)
}

// A disk that is full is told as that, and not as copies that are missing.
func TestMendJobTellsOfAFullDisk(t *testing.T) {
	b := newBrokers(t, 10, 600<<10, true)
	b.harm(1, "#k ", "liked")
	b.disk.SetSpace(1 << 20)
	_, err := b.job(3, 4).Run()
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NotErrorIs(t, err, ErrNoCopy)
	require.Zero(t, b.asked[4])

	b.disk.SetSpace(-1)
	_, err = b.job(4).Run()
	require.ErrorIs(t, err, ErrNoCopy)
	_, err = b.job(3, 4).Run()
	require.NoError(t, err)
}
