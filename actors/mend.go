package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"time"

	"ottla/logfile"
	"ottla/protocol"
)

// A damaged replica is mended in place. A goroutine of its broker finds out which
// entries are missing and asks the other brokers for them. Each answers out of its
// own files, also if its replica is damaged itself, and out of directories that it
// has put aside. Which entries may be taken is decided by logfile.Mending.

// Messages between brokers; they can be serialized.
type (
	// framesAsked asks a broker for entries of a partition.
	framesAsked struct {
		From int // the broker that asks
		Key  protocol.PartitionID
		Seq  uint64 // comes back in the answer
		Want logfile.Want
	}
	// framesLent answers it.
	framesLent struct {
		From  int
		Key   protocol.PartitionID
		Seq   uint64
		Loans []logfile.Loan // one for each copy that the broker has and that holds any of it
		Err   string         // why there are none
	}
)

const (
	lendBytes    = 1 << 20         // of bodies in one answer; one entry may be more
	lendPatience = 5 * time.Second // until an answer counts as lost
)

// mendJob mends one replica, on its own goroutine.
type mendJob struct {
	env     *environment
	spec    partitionSpec
	broker  int
	lenders []int
	links   *links
	answers chan *framesLent
	cancel  context.CancelFunc
	seq     uint64 // of the last question; begins at random, so that late answers to an earlier job fit none of its own
}

func newMendJob(env *environment, spec partitionSpec, broker int, lenders []int, l *links) (*mendJob, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	return &mendJob{
		env: env, spec: spec, broker: broker, lenders: lenders, links: l,
		answers: make(chan *framesLent, 1), cancel: cancel, seq: rand.Uint64(),
	}, ctx
}

// run mends the replica. Without an error the replica may be opened again; found
// reports whether there was any damage.
func (j *mendJob) run(ctx context.Context) (found bool, err error) {
	m, err := logfile.Examine(j.env.fs, j.spec.dir, j.spec.logOptions(j.env), j.env.background.pace(ctx))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, m.Abort()) }()
	if m.Identity() != j.spec.id {
		return false, fmt.Errorf("%s holds %+v, not %+v", j.spec.dir, m.Identity(), j.spec.id)
	}
	if !m.Damaged() {
		return false, nil
	}
	for {
		w, more := m.Want()
		if !more {
			return true, m.Finish()
		}
		if err := j.obtain(ctx, m, w); err != nil {
			return true, err
		}
	}
}

// obtain puts in place at least the first of the wanted entries.
func (j *mendJob) obtain(ctx context.Context, m *logfile.Mending, w logfile.Want) error {
	var reasons []error
	for _, lender := range j.lenders {
		answer, err := j.ask(ctx, lender, w)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("broker %d: %w", lender, err))
			continue
		}
		for _, loan := range answer.Loans {
			taken, err := putAll(m, loan)
			if err != nil && !errors.Is(err, logfile.ErrWrongEntry) {
				return err
			}
			if taken > 0 {
				return nil
			}
			if err != nil {
				reasons = append(reasons, fmt.Errorf("broker %d: %w", lender, err))
			}
		}
	}
	return fmt.Errorf("entry %d is damaged, and no other copy within reach has it: %w", w.First, errors.Join(reasons...))
}

func putAll(m *logfile.Mending, loan logfile.Loan) (taken int, err error) {
	for i := range loan.Frames {
		if err := m.Put(&loan.Frames[i], loan.AnchorTerm); err != nil {
			return taken, err
		}
		taken++
	}
	return taken, nil
}

// ask asks one broker and waits for its answer.
func (j *mendJob) ask(ctx context.Context, lender int, w logfile.Want) (*framesLent, error) {
	j.seq++
	j.links.tellBroker(j.env.system.Root, lender, &framesAsked{From: j.broker, Key: j.spec.key(), Seq: j.seq, Want: w})
	t := time.NewTimer(lendPatience)
	defer t.Stop()
	for {
		select {
		case a := <-j.answers:
			if a.Seq != j.seq || a.From != lender {
				continue
			}
			if a.Err != "" {
				return nil, errors.New(a.Err)
			}
			return a, nil
		case <-t.C:
			return nil, errors.New("does not answer")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lendFrames answers another broker out of files that nobody writes to: those of a
// replica that does not run, and those put aside.
func lendFrames(env *environment, l *links, m *framesAsked, broker int, id logfile.Identity, dirs []lentDir, loans []logfile.Loan) {
	answer := &framesLent{From: broker, Key: m.Key, Seq: m.Seq, Loans: loans}
	why := errors.New("has no other copy of it")
	for _, dir := range dirs {
		before := dir.openings.Load()
		loan, err := logfile.Lend(env.fs, dir.path, id, m.Want, lendBytes)
		switch {
		case err != nil:
			why = err
		case dir.openings.Load() != before:
			why = errors.New("its copy has come into use meanwhile")
		case len(loan.Frames) > 0:
			answer.Loans = append(answer.Loans, loan)
		default:
			why = errors.New("its copy is damaged there too")
		}
	}
	if len(answer.Loans) == 0 {
		answer.Err = why.Error()
	}
	l.tellBroker(env.system.Root, m.From, answer)
}

// lentDir is a log that nobody has open. Openings counts how often it was opened,
// created or moved: what is read while that happens may be part of two logs.
type lentDir struct {
	path     string
	openings *atomic.Uint64
}

// asideDirs are the directories of a replica's predecessors, which were put
// aside.
func asideDirs(dir string) (dirs []lentDir) {
	paths, err := filepath.Glob(dir + ".replaced-*")
	if err != nil {
		return nil // only a bad pattern, which no topic's name makes
	}
	for _, path := range paths {
		dirs = append(dirs, lentDir{path, new(atomic.Uint64)}) // it is never opened
	}
	return dirs
}
