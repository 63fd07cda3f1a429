package logfile

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Create makes the directory dir and in it an empty log that begins after cp, and
// makes both durable. Leftovers of a creation that did not finish are replaced.
// It does I/O. Errors: fs.ErrExist when the directory holds a log already;
// ErrRefused for offsets in cp that contradict each other; errors of the disk.
func Create(fsys FS, dir string, id Identity, cp Checkpoint, opt Options) (*Log, error) {
	if cp.NextOffset < 0 || cp.LogStart < 0 || cp.LogStart > cp.NextOffset {
		return nil, fmt.Errorf("create log in %s: %w: log start %d, next offset %d", dir, ErrRefused, cp.LogStart, cp.NextOffset)
	}
	if err := fsys.MkdirAll(dir, dirPerm); err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	list, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	for _, e := range list {
		// A log that was being reset counts as one: Open finishes it.
		if strings.HasSuffix(e.Name(), ".log") || strings.HasSuffix(e.Name(), resetSuffix) {
			return nil, fmt.Errorf("create log in %s: %s: %w", dir, e.Name(), fs.ErrExist)
		}
	}
	cp.LogStart = cp.NextOffset // the log holds nothing below
	l := newLog(fsys, dir, id, opt)
	l.hardTerm, l.vote = cp.HardTerm, cp.Vote
	l.startAfter(&cp)
	l.startSegment(&cp, l.lastAt, &segmentHead{id: id, boot: opt.BootID, prevBase: -1}, func(f *File, head []byte) {
		err = l.create(f, head, f.path)
	})
	// The log's own name stands in the directory above.
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(dir))
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("create log in %s: %w", dir, err)
	}
	return l, nil
}
