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
	const atOnce = 4 << 20
	for next := max(r.rec.Checkpoint.Applied+1, l.FirstIndex()); next <= l.LastIndex(); {
		frames, err := l.ReadFrames(next, l.LastIndex()+1, atOnce)
		if err != nil {
			return nil, fmt.Errorf("inspect log: %w", err)
		}
		for i := range frames {
			if frames[i].Kind == KindConfChange {
				out.Changes = append(out.Changes, frames[i])
			}
		}
		next += uint64(len(frames))
	}
	return out, nil
}
