package mending

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"ottla/logfile"
	"ottla/protocol"
)

// Messages between brokers; they can be serialized.
type (
	// Asked asks a broker for entries of a partition.
	Asked struct {
		From int // the broker that asks
		To   int // the one that is asked
		Key  protocol.PartitionID
		Seq  uint64 // comes back in the answer
		Want logfile.Want
	}
	// Lent answers it.
	Lent struct {
		From  int
		Key   protocol.PartitionID
		Seq   uint64
		Loans []logfile.Loan // one for each copy that the broker has and that holds any of it
		Err   string         // why there are none
	}
)

// LendBytes is how many bytes of bodies one answer holds; one entry may be more.
const LendBytes = 1 << 20

// lendPatience is how long an answer is waited for.
const lendPatience = 5 * time.Second

// ErrNoCopy says that what is damaged was not to be had from any other copy.
var ErrNoCopy = errors.New("no other copy within reach has it")

// LacksCopies reports whether a mending failed because other copies are missing, or are
// damaged too. A full disk, for example, is no reason to give them up.
func LacksCopies(err error) bool {
	var bad *logfile.CorruptError
	return errors.Is(err, ErrNoCopy) || errors.As(err, &bad)
}

// Patient is a replica that is to be mended, and what its mending needs.
type Patient struct {
	FS       logfile.FS
	Dir      string
	Identity logfile.Identity
	Log      logfile.Options
	Pace     func(n int) error // waits until so many bytes may be read or written
	Broker   int               // to whom answers are sent
	Lenders  []int             // brokers that may have other copies
	Tell     func(broker int, message any)
}

// Job mends one replica, on a goroutine of its own. Answer, Cancel and Of may be called from
// any goroutine; all else is Run's own.
type Job struct {
	of      Patient
	work    context.Context
	cancel  context.CancelFunc
	answers chan *Lent

	lenders  []int         // that have answered so far, or were not asked yet; who gave last comes first
	silent   []error       // about those that did not answer, and are not asked again
	patience time.Duration // with each
	seq      uint64        // of the last question; begins at random, so that late answers to an earlier job fit none of its own
}

// NewJob returns a job that is to be run. Pace makes the patient's Pace for the
// job's context.
func NewJob(of Patient, pace func(context.Context) func(n int) error) *Job {
	work, cancel := context.WithCancel(context.Background())
	of.Pace = pace(work)
	return &Job{
		of: of, work: work, cancel: cancel, answers: make(chan *Lent, 1),
		lenders: slices.Clone(of.Lenders), patience: lendPatience, seq: rand.Uint64(),
	}
}

// Cancel ends the job.
func (j *Job) Cancel() { j.cancel() }

// Of is what the job mends.
func (j *Job) Of() *Patient { return &j.of }

// Answer hands an answer to the job. One that comes too late is dropped.
func (j *Job) Answer(a *Lent) {
	select {
	case j.answers <- a:
	default:
	}
}

// Run mends the replica. Without an error the replica may be opened again; found reports
// whether there was any damage. With one, the files are as damaged as before, or less: each
// entry that was put in place is one that the replica had.
func (j *Job) Run() (found bool, err error) {
	m, err := logfile.Examine(j.of.FS, j.of.Dir, j.of.Log, j.of.Pace)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, m.Abort()) }()
	// Another replica's files: what others hold of this one must not be mixed into them.
	if m.Identity() != j.of.Identity {
		return false, fmt.Errorf("%s holds %+v, not %+v", j.of.Dir, m.Identity(), j.of.Identity)
	}
	if !m.Damaged() {
		return false, nil
	}
	for {
		w, more := m.Want()
		if !more {
			return true, m.Finish()
		}
		if err := j.obtain(m, w); err != nil {
			if w.Parts == nil || !errors.Is(err, ErrNoCopy) {
				return true, err
			}
			// Nobody has the rest of that set of compacted records. Where another one may be
			// asked for, the mending goes on with that.
			if other, oerr := m.OtherParts(); !other || oerr != nil {
				return true, errors.Join(err, oerr)
			}
		}
	}
}

// obtain puts in place at least the first of the wanted entries. Errors: ErrNoCopy when
// nobody has it, and else what ends the job.
func (j *Job) obtain(m *logfile.Mending, w logfile.Want) error {
	reasons := slices.Clone(j.silent)
	for _, lender := range slices.Clone(j.lenders) {
		answer, err := j.ask(lender, w)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("broker %d: %w", lender, err))
			continue
		}
		for _, loan := range answer.Loans {
			taken, err := putAll(m, &loan)
			if err != nil && !errors.Is(err, logfile.ErrWrongEntry) {
				return err
			}
			if taken > 0 {
				j.forget(lender)
				j.lenders = slices.Insert(j.lenders, 0, lender) // it probably has what comes next
				return nil
			}
			if err != nil {
				reasons = append(reasons, fmt.Errorf("broker %d: %w", lender, err))
			}
		}
	}
	if err := j.work.Err(); err != nil {
		return err
	}
	what := fmt.Sprintf("entry %d is damaged, and", w.First)
	switch {
	case w.Parts != nil:
		what = fmt.Sprintf("compacted records from offset %d on are damaged, and", w.Parts.Offset)
	case w.Checkpoint:
		what = fmt.Sprintf("a checkpoint as of entry %d or later is damaged, and", w.First)
	}
	return fmt.Errorf("%s %w: %w", what, ErrNoCopy, errors.Join(reasons...))
}

// forget takes a broker out of those that are asked.
func (j *Job) forget(lender int) {
	j.lenders = slices.DeleteFunc(j.lenders, func(id int) bool { return id == lender })
}

// putAll puts in place what a lender gave, and returns how much of it.
func putAll(m *logfile.Mending, loan *logfile.Loan) (taken int, err error) {
	if loan.Parts != nil {
		if err := m.PutParts(loan.Parts); err != nil {
			return 0, err
		}
		return 1, nil
	}
	if loan.Checkpoint != nil {
		if err := m.PutCheckpoint(loan.Checkpoint, loan.Term); err != nil {
			return 0, err
		}
		return 1, nil
	}
	for i := range loan.Frames {
		if err := m.Put(&loan.Frames[i], loan.AnchorTerm); err != nil {
			return taken, err
		}
		taken++
	}
	return taken, nil
}

func (j *Job) key() protocol.PartitionID {
	return protocol.PartitionID{TopicID: j.of.Identity.TopicID, Partition: j.of.Identity.Partition}
}

// ask asks one broker and waits for its answer.
func (j *Job) ask(lender int, w logfile.Want) (*Lent, error) {
	j.seq++
	j.of.Tell(lender, &Asked{From: j.of.Broker, To: lender, Key: j.key(), Seq: j.seq, Want: w})
	t := time.NewTimer(j.patience)
	defer t.Stop()
	for {
		select {
		// An answer to an earlier question, whose time was up, may still come.
		case a := <-j.answers:
			if a.Seq != j.seq || a.From != lender {
				continue
			}
			if a.Err != "" {
				return nil, errors.New(a.Err)
			}
			return a, nil
		case <-t.C:
			j.forget(lender) // else each stretch that is missing would wait for it again
			j.silent = append(j.silent, fmt.Errorf("broker %d does not answer", lender))
			return nil, errors.New("does not answer")
		case <-j.work.Done():
			return nil, j.work.Err()
		}
	}
}

// Lend answers another broker out of files that nobody writes to: those of a replica
// that does not run, and those put aside. Loans are what the replica itself lends.
func Lend(fs logfile.FS, m *Asked, id logfile.Identity, copies []Copy, loans []logfile.Loan) *Lent {
	answer := &Lent{From: m.To, Key: m.Key, Seq: m.Seq, Loans: loans}
	why := errors.New("has no other copy of it")
	for _, c := range copies {
		// Read before and after: if the replica was opened in between, recovery may have cut
		// the tail, and what was read could be of two logs.
		before := c.Openings.Load()
		loan, err := logfile.Lend(fs, c.Path, id, m.Want, LendBytes)
		switch {
		case err != nil:
			why = err
		case c.Openings.Load() != before:
			why = errors.New("its copy has come into use meanwhile")
		case !loan.Empty():
			answer.Loans = append(answer.Loans, loan)
		default:
			why = errors.New("its copy is damaged there too")
		}
	}
	if len(answer.Loans) == 0 {
		answer.Err = why.Error()
	}
	return answer
}

// Copy is a log that nobody has open. Openings counts how often it was opened,
// created or moved: what is read while that happens may be part of two logs.
type Copy struct {
	Path     string
	Openings *atomic.Uint64
}

// Aside are the directories of a replica's predecessors, which were put
// aside.
func Aside(dir string) (copies []Copy) {
	paths, err := filepath.Glob(dir + ".replaced-*")
	if err != nil {
		return nil // only a bad pattern, which no topic's name makes
	}
	for _, path := range paths {
		copies = append(copies, Copy{path, new(atomic.Uint64)}) // it is never opened
	}
	return copies
}
