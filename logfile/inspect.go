package logfile

import (
	"errors"
	"fmt"
)

// ErrUnfinished says that a log was being replaced as a whole, by a snapshot,
// when its process ended. Open completes that.
var ErrUnfinished = errors.New("the log was being replaced; opening it completes that")

// Inspection is what Inspect finds.
type Inspection struct {
	Recovered
	LastTerm uint64  // of the last entry
	Changes  []Frame // membership entries behind Checkpoint.Applied, in order
}

// Inspect reads the log in dir as Open would, and changes nothing. It is for
// logs that no process has open. Errors: as Open, and ErrUnfinished.
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
	r.conclude()
	return r.inspect()
}

func (r *recovery) inspect() (*Inspection, error) {
	l := r.log
	l.active.file.end.Store(l.active.size)
	out := &Inspection{Recovered: r.rec}
	var ok bool
	if out.LastTerm, ok = l.Term(l.LastIndex()); !ok {
		return nil, fmt.Errorf("inspect log: no term of entry %d", l.LastIndex())
	}
	err := r.eachConfChange(l.LastIndex(), func(f Frame) { out.Changes = append(out.Changes, f) })
	if err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	}
	return out, nil
}

// eachConfChange calls fn for the membership entries behind the checkpoint, up
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

// confChanges lists the membership entries behind the checkpoint. The active
// segment has been read; of those before it only what was not applied when it
// began is read, which is little.
func (r *recovery) confChanges() (out []uint64, err error) {
	err = r.eachConfChange(r.log.active.first-1, func(f Frame) { out = append(out, f.Index) })
	for _, index := range r.changes {
		if index > r.rec.Checkpoint.Applied {
			out = append(out, index)
		}
	}
	return out, err
}
