package logfile

import (
	"errors"
	"fmt"
)

// ErrUnfinished says that a snapshot was replacing the whole log when its process
// ended. Open completes that.
var ErrUnfinished = errors.New("a snapshot was replacing the whole log; opening the log completes that")

// Inspection is the result of Inspect.
type Inspection struct {
	Recovered
	LastTerm uint64  // of the last entry
	Changes  []Frame // membership entries after Checkpoint.Applied, in order
}

// Inspect reads the log in dir as Open would, and changes nothing. No process may
// have the log open. Errors: as Open, and ErrUnfinished.
func Inspect(fsys FS, dir string, opt Options) (*Inspection, error) {
	found, err := listDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	}
	if found.reset != "" {
		return nil, fmt.Errorf("inspect log %s: %w", dir, ErrUnfinished)
	}
	r := &recovery{fsys: fsys, dir: dir, opt: opt}
	defer r.closeUnused()
	if err := r.read(found); err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	}
	r.summarize()
	return r.inspect()
}

func (r *recovery) inspect() (*Inspection, error) {
	l := r.log
	l.active.file.end.Store(l.active.size)
	out := &Inspection{Recovered: r.rec}
	var ok bool
	if out.LastTerm, ok = l.Term(l.LastIndex()); !ok {
		return nil, fmt.Errorf("inspect log: the term of entry %d is not known", l.LastIndex())
	}
	err := r.eachConfChange(l.LastIndex(), func(f Frame) { out.Changes = append(out.Changes, f) })
	if err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	}
	return out, nil
}

// eachConfChange calls fn for the membership entries after the checkpoint, up
// to index last.
func (r *recovery) eachConfChange(last uint64, fn func(Frame)) error {
	const atOnce = 4 << 20
	for next := max(r.rec.Checkpoint.Applied+1, r.log.FirstIndex()); next <= last; {
		frames, err := r.log.ReadFrames(next, last+1, atOnce)
		if err != nil {
			return err
		}
		for i := range frames {
			if frames[i].Kind == KindConfChange {
				fn(frames[i])
			}
		}
		next += uint64(len(frames))
	}
	return nil
}

// confChanges lists the membership entries after the checkpoint. The active
// segment has been read already. Of the segments before it only the entries that
// were not applied when it began are read, and these are few.
func (r *recovery) confChanges() (out []uint64, err error) {
	err = r.eachConfChange(r.log.active.first-1, func(f Frame) { out = append(out, f.Index) })
	for _, index := range r.changes {
		if index > r.rec.Checkpoint.Applied {
			out = append(out, index)
		}
	}
	return out, err
}
