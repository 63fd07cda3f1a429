package disk

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/logfile"
)

// round is one pass of writing and syncing: all its batches are executed, then
// one sync covers them. The queue makes it, the worker goroutine runs it and
// hands it back; it has one owner at any time.
type round struct {
	lanes []*roundLane
	bytes int   // executed
	files int   // synced
	err   error // the last error of the disk in it, for the log and the statistics
}

// roundLane is one replica's part of a round.
type roundLane struct {
	lane   *lane // the queue's; the worker does not touch it
	writes []*Write
	flush  bool // sync dirty files though no write asks for it

	// What the worker fills in.
	errs     []error  // by write, nil is success
	touched  [][]File // by write: the files that it wrote to
	dirty    []File   // written and not synced; at first those from before the round
	dirtyErr error    // the sync of files from before the round failed, whose writes were answered long ago
}

// syncTarget is a file to be made durable. Alone says that it must be synced
// by its own descriptor: the kernel may have tried to write its bytes back before
// this round, and reports an error of that to this descriptor only.
type syncTarget struct {
	file  File
	alone bool
}

// syncer makes files durable; the result has one error, or nil, per target.
type syncer interface {
	Sync(targets []syncTarget) []error
	Close() error
}

// run executes the round, then syncs it. The sync begins after the last write, so
// it covers all of them.
func (r *round) run(s syncer) {
	for _, rl := range r.lanes {
		r.bytes += rl.execute()
	}
	targets := r.targets()
	r.files = len(targets)
	var failed map[File]error
	if len(targets) > 0 {
		failed = syncTargets(s, targets)
	}
	for _, rl := range r.lanes {
		rl.conclude(failed)
		if i := slices.IndexFunc(rl.errs, ofTheDisk); i >= 0 {
			r.err = rl.errs[i]
		}
		if rl.dirtyErr != nil {
			r.err = rl.dirtyErr
		}
	}
}

func isError(err error) bool { return err != nil }

// ofTheDisk reports whether err is a failure of the disk. A write to a log that
// was closed before its turn, as the logs of deleted topics are, is none.
func ofTheDisk(err error) bool { return err != nil && !errors.Is(err, logfile.ErrClosed) }

// syncTargets returns the errors of those files that could not be synced.
func syncTargets(s syncer, targets []syncTarget) map[File]error {
	var failed map[File]error
	for i, err := range s.Sync(targets) {
		if err == nil {
			continue
		}
		if failed == nil {
			failed = map[File]error{}
		}
		failed[targets[i].file] = &SyncError{Cause: err}
	}
	return failed
}

// execute runs the lane's batches up to the first that fails.
func (rl *roundLane) execute() (bytes int) {
	rl.errs = make([]error, len(rl.writes))
	rl.touched = make([][]File, len(rl.writes))
	for i, w := range rl.writes {
		if w.Batch == nil || w.Batch.Empty() {
			continue
		}
		err := executeBatch(w.Batch)
		rl.touched[i] = batchFiles(w.Batch)
		if err != nil {
			// Part of the batch may be in the files, so they are to be synced with what
			// comes next.
			rl.dirty = addFiles(rl.dirty, rl.touched[i])
			rl.fail(i, fmt.Errorf("write: %w", err))
			return bytes
		}
		bytes += w.Batch.Bytes()
	}
	return bytes
}

// executeBatch turns a panic into an error: it must cost one replica, not
// the worker on which all depend.
func executeBatch(b Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("BUG: batch panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return b.Execute()
}

// fail makes write i fail with err, and all after it with i.
func (rl *roundLane) fail(i int, err error) {
	rl.errs[i] = err
	for j := i + 1; j < len(rl.writes); j++ {
		rl.errs[j] = &earlierError{seq: rl.writes[i].Seq, cause: err}
	}
}

// wantsSync reports whether a write that was executed waits for a sync.
func (rl *roundLane) wantsSync() bool {
	if rl.flush {
		return true
	}
	for i, w := range rl.writes {
		if rl.errs[i] == nil && !w.NoSync {
			return true
		}
	}
	return false
}

// targets lists the files of the round to be synced, each once.
func (r *round) targets() []syncTarget {
	var out []syncTarget
	at := map[File]int{}
	add := func(f File, alone bool) {
		if i, ok := at[f]; ok {
			out[i].alone = out[i].alone || alone
			return
		}
		at[f] = len(out)
		out = append(out, syncTarget{file: f, alone: alone})
	}
	for _, rl := range r.lanes {
		if !rl.wantsSync() {
			continue
		}
		for _, f := range rl.dirty {
			add(f, true)
		}
		for i := range rl.writes {
			if rl.errs[i] == nil {
				for _, f := range rl.touched[i] {
					add(f, false)
				}
			}
		}
	}
	return out
}

// conclude turns failed syncs into the results of the writes that relied on
// them, and notes which files are still to be synced. A write without NoSync
// relies on everything that its lane wrote before it.
func (rl *roundLane) conclude(failed map[File]error) {
	if !rl.wantsSync() {
		for i := range rl.writes {
			if rl.errs[i] == nil {
				rl.dirty = addFiles(rl.dirty, rl.touched[i])
			}
		}
		return
	}
	inherited := anyFailed(rl.dirty, failed)
	if len(rl.writes) == 0 && errors.Is(inherited, logfile.ErrClosed) {
		rl.dirty = nil // the log was closed: nobody waits for these bytes
		return
	}
	if inherited != nil {
		rl.dirtyErr = inherited
	} else if !slices.ContainsFunc(rl.errs, isError) {
		rl.dirty = nil
	}
	err := inherited
	for i := range rl.writes {
		if rl.errs[i] != nil {
			return // failed when executed, and with it all after it
		}
		if err == nil {
			err = anyFailed(rl.touched[i], failed)
		}
		if err == nil {
			continue
		}
		rl.fail(i, err)
		return
	}
}

func anyFailed(files []File, failed map[File]error) error {
	for _, f := range files {
		if err := failed[f]; err != nil {
			return err
		}
	}
	return nil
}

func addFiles(to, files []File) []File {
	to = slices.Clip(to)
	for _, f := range files {
		if !slices.Contains(to, f) {
			to = append(to, f)
		}
	}
	return to
}

// batchFiles lists the files that a batch's durability depends on.
func batchFiles(b Batch) []File {
	switch b := b.(type) {
	case interface{ Files() []*logfile.File }:
		files := b.Files()
		out := make([]File, len(files))
		for i, f := range files {
			out[i] = f
		}
		return out
	case interface{ diskFiles() []File }: // tests
		return b.diskFiles()
	default:
		panic(fmt.Sprintf("BUG: batch %T has no files", b))
	}
}

// froms lists the owners of the writes of the round, each once.
func (r *round) froms() []*actor.PID {
	out := make([]*actor.PID, len(r.lanes))
	for i, rl := range r.lanes {
		out[i] = rl.lane.from
	}
	return out
}

// abandon answers the writes of a round that hangs. The worker still has the
// round: abandon reads only what the worker does not write.
func (r *round) abandon() (out []laneAnswer) {
	for _, rl := range r.lanes {
		for _, w := range rl.writes {
			err := &SyncError{Cause: ErrStopped}
			out = append(out, laneAnswer{to: w.From, done: Done{Seq: w.Seq, Err: err}})
		}
	}
	return out
}
