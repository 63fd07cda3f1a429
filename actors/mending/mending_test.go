package mending

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/replica"
	"ottla/logfile"
)

// openingFS calls a function when a segment is opened.
type openingFS struct {
	logfile.FS
	opens func()
}

func (f *openingFS) OpenFile(name string, flag int, perm fs.FileMode) (logfile.Handle, error) {
	if strings.HasSuffix(name, ".log") {
		f.opens()
	}
	return f.FS.OpenFile(name, flag, perm)
}

// A replica that is opened while its files are lent may cut them and write
// others: first entries from before and an anchor from afterwards would pass
// for one log.
func TestNothingIsLentOfALogThatComesIntoUse(t *testing.T) {
	hooked := &openingFS{FS: logfile.OSFS{}, opens: func() {}}
	id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", Broker: 2, ReplicaID: 2}
	dir := Copy{filepath.Join(t.TempDir(), "t-0"), new(atomic.Uint64)}
	require.NoError(t, replica.Create(hooked, dir.Path, id, []uint64{1, 2, 3}, 0, logfile.Options{}))
	log, _, err := logfile.Open(hooked, dir.Path, logfile.Options{})
	require.NoError(t, err)
	batch, entry := &logfile.Batch{}, log.LastIndex()+1
	require.NoError(t, log.Append(batch, []logfile.Frame{{Index: entry, Term: 3, Kind: logfile.KindEmpty}}))
	require.NoError(t, batch.Execute())
	require.NoError(t, log.Close())

	ask := &Asked{From: 1, To: 2, Want: logfile.Want{First: entry, Last: entry}}
	require.Len(t, Lend(hooked, ask, id, []Copy{dir}, nil).Loans, 1)

	hooked.opens = func() { dir.Openings.Add(1) }
	answer := Lend(hooked, ask, id, []Copy{dir}, nil)
	assert.Empty(t, answer.Loans)
	assert.Contains(t, answer.Err, "come into use")
}

// What a broker answers too late must not be taken for an answer to the next
// job's question, which may have another anchor.
func TestMendJobTakesNoAnswerToAnotherJob(t *testing.T) {
	told := make(chan any, 10)
	ask := func() (*Job, chan *Lent) {
		j := NewJob(Patient{Identity: logfile.Identity{Broker: 2}, Lenders: []int{1}, Tell: func(_ int, m any) { told <- m }},
			func(context.Context) func(int) error { return nil })
		t.Cleanup(j.Cancel)
		got := make(chan *Lent, 1)
		go func() {
			a, _ := j.ask(1, logfile.Want{First: 7, Last: 7})
			got <- a
		}()
		return j, got
	}
	first, lost := ask()
	late := (<-told).(*Asked)
	first.Cancel()
	require.Nil(t, <-lost)
	second, got := ask()
	now := (<-told).(*Asked)
	for _, seq := range []uint64{late.Seq, now.Seq} {
		second.answers <- &Lent{From: 1, Seq: seq, Loans: make([]logfile.Loan, 1)}
	}
	select {
	case a := <-got:
		require.NotNil(t, a)
		require.Equal(t, now.Seq, a.Seq)
		require.NotEqual(t, late.Seq, a.Seq)
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no answer")
	}
}

// Other copies are given up only where they are what is missing.
func TestLacksCopies(t *testing.T) {
	gone := fmt.Errorf("entry 7: %w: broker 2 does not answer", ErrNoCopy)
	assert.True(t, LacksCopies(gone))
	assert.True(t, LacksCopies(fmt.Errorf("examine log: %w", &logfile.CorruptError{Err: errors.New("a bit is wrong")})))
	assert.False(t, LacksCopies(fmt.Errorf("write part: %w", syscall.ENOSPC)))
}
