package actors

import (
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// answered has broker 1 of some links pass on what it is told.
func answered(t *testing.T) (*actor.ActorSystem, *links, chan any) {
	t.Helper()
	system := actor.NewActorSystem(actor.WithLoggerFactory(quietLogger(slog.New(slog.DiscardHandler))))
	told, l := make(chan any, 10), newLinks("c", nil)
	l.join(1, mailbox{pid: system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *framesAsked, *framesLent:
			told <- m
		}
	}))})
	return system, l, told
}

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
	system, l, told := answered(t)
	hooked := &openingFS{FS: logfile.OSFS{}, opens: func() {}}
	env := &environment{fs: hooked, system: system}
	spec := partitionSpec{
		id:  logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", Broker: 2, ReplicaID: 2},
		dir: filepath.Join(t.TempDir(), "t-0"), founders: []uint64{1, 2, 3},
	}
	require.NoError(t, spec.create(env))
	log, _, err := logfile.Open(env.fs, spec.dir, logfile.Options{})
	require.NoError(t, err)
	batch, entry := &logfile.Batch{}, log.LastIndex()+1
	require.NoError(t, log.Append(batch, []logfile.Frame{{Index: entry, Term: 3, Kind: logfile.KindEmpty}}))
	require.NoError(t, batch.Execute())
	require.NoError(t, log.Close())

	ask := &framesAsked{From: 1, Want: logfile.Want{First: entry, Last: entry}}
	dir := lentDir{spec.dir, new(atomic.Uint64)}
	lendFrames(env, l, ask, 2, spec.id, []lentDir{dir}, nil)
	require.Len(t, (<-told).(*framesLent).Loans, 1)

	hooked.opens = func() { dir.openings.Add(1) }
	lendFrames(env, l, ask, 2, spec.id, []lentDir{dir}, nil)
	answer := (<-told).(*framesLent)
	assert.Empty(t, answer.Loans)
	assert.Contains(t, answer.Err, "come into use")
}

// What a broker answers too late must not be taken for an answer to the next
// job's question, which may have another anchor.
func TestMendJobTakesNoAnswerToAnotherJob(t *testing.T) {
	system, l, told := answered(t)
	env := &environment{system: system}
	ask := func() (*mendJob, chan *framesLent) {
		j, ctx := newMendJob(env, partitionSpec{}, 2, []int{1}, l)
		t.Cleanup(j.cancel)
		got := make(chan *framesLent, 1)
		go func() {
			a, _ := j.ask(ctx, 1, logfile.Want{First: 7, Last: 7})
			got <- a
		}()
		return j, got
	}
	first, lost := ask()
	late := (<-told).(*framesAsked)
	first.cancel()
	require.Nil(t, <-lost)
	second, got := ask()
	now := (<-told).(*framesAsked)
	for _, seq := range []uint64{late.Seq, now.Seq} {
		second.answers <- &framesLent{From: 1, Seq: seq, Loans: make([]logfile.Loan, 1)}
	}
	select {
	case a := <-got:
		require.NotNil(t, a)
		require.Equal(t, now.Seq, a.Seq)
		require.NotEqual(t, late.Seq, a.Seq)
	case <-time.After(patience):
		require.FailNow(t, "no answer")
	}
}
