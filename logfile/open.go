package logfile

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Open reads the log in dir. It verifies the active segment, checks that all
// sealed ones are there, cuts a tail that was never synced (see Recovery in
// README.md), and makes everything durable before it returns. Errors: a
// *CorruptError when the log is damaged, and then nothing was changed;
// fs.ErrNotExist when there is no log; errors of the disk.
func Open(fsys FS, dir string, opt Options) (*Log, *Recovered, error) {
	l, rec, err := open(fsys, dir, opt)
	if err != nil {
		return nil, nil, fmt.Errorf("open log: %w", err)
	}
	return l, rec, nil
}

func open(fsys FS, dir string, opt Options) (*Log, *Recovered, error) {
	found, err := listDir(fsys, dir)
	if err != nil {
		return nil, nil, err
	}
	if found.reset != "" {
		// The reset was decided when its segment got this name. The log that it
		// replaces may be half removed, so it cannot be opened any more.
		if err := finishReset(fsys, dir, found); err != nil {
			return nil, nil, err
		}
		if found, err = listDir(fsys, dir); err != nil {
			return nil, nil, err
		}
	}
	// Everything is read before anything is written: a log that turns out to be damaged
	// stays as it was found, for whoever mends it.
	r := &recovery{fsys: fsys, dir: dir, opt: opt}
	defer r.closeUnused()
	if err := r.read(found); err != nil {
		return nil, nil, err
	}
	if err := r.finish(found.tmp); err != nil {
		return nil, nil, err
	}
	// Only now: it reads entries, for which the log has to have its end.
	if r.rec.ConfChanges, err = r.confChanges(); err != nil {
		return nil, nil, err
	}
	l := r.log
	r.log = nil
	l.opt.Cache.touch(l.active.file)
	return l, &r.rec, nil
}

// read reads the log and decides what is to be done. It writes nothing.
func (r *recovery) read(found listing) error {
	if len(found.bases) == 0 {
		return fmt.Errorf("no segment in %s: %w", r.dir, fs.ErrNotExist)
	}
	if err := r.readHeads(found.bases); err != nil {
		return err
	}
	if err := r.scanActive(); err != nil {
		return err
	}
	// After the segment, because what the carry file says counts only for entries that the
	// log still holds.
	if err := r.readCarry(); err != nil {
		return err
	}
	// The parts last: the newest checkpoint says what compaction there was.
	return r.readParts(found.parts)
}

// listing is the content of a log's directory.
type listing struct {
	bases []int64 // of segments, ascending
	parts []string
	reset string   // the segment of a reset that was decided and not finished, "" if none
	tmp   []string // leftovers to remove
}

func listDir(fsys FS, dir string) (listing, error) {
	var found listing
	var indexes []string
	list, err := fsys.ReadDir(dir)
	if err != nil {
		return found, err
	}
	for _, e := range list {
		name := e.Name()
		stem, isLog := strings.CutSuffix(name, ".log")
		// A part's name ends like a segment's, so it is looked at first. Files of other
		// names are left alone: the broken and damaged ones are kept for a human.
		_, _, isPart := partName(name)
		switch {
		case isPart:
			found.parts = append(found.parts, name)
		case strings.HasSuffix(name, ".idx") && len(name) == len(partPath("", 0, 0)):
			indexes = append(indexes, name)
		case isLog && len(stem) == 20:
			base, err := strconv.ParseInt(stem, 10, 64)
			if err == nil && base >= 0 {
				found.bases = append(found.bases, base)
			}
		case strings.HasSuffix(name, resetSuffix):
			found.reset = name
		case strings.HasSuffix(name, ".tmp"):
			found.tmp = append(found.tmp, name)
		}
	}
	// In the directory they stand in no order.
	slices.Sort(found.bases)
	for _, name := range indexes { // those of parts that never got their names
		if !slices.Contains(found.parts, strings.TrimSuffix(name, ".idx")+".log") {
			found.tmp = append(found.tmp, name)
		}
	}
	return found, nil
}

// finishReset completes a reset that was decided before a crash.
func finishReset(fsys FS, dir string, found listing) error {
	path := filepath.Join(dir, found.reset)
	if _, _, err := readSegmentHead(fsys, path); err != nil {
		return err
	}
	// The name can be seen, but its own sync may have failed before a kill: it must
	// be durable before the files that it replaces are removed.
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("finish reset: %w", err)
	}
	// The newest segment goes first: what is left at a crash is a log without its
	// end, and the .reset file is still there.
	slices.Reverse(found.bases)
	gone := []string{carryName}
	for _, base := range found.bases {
		name := segmentPath("", base)
		gone = append(gone, name, indexPath(name))
	}
	for _, name := range gone {
		if err := removeFile(fsys, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("finish reset: %w", err)
		}
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("finish reset: %w", err)
	}
	if err := fsys.Rename(path, strings.TrimSuffix(path, resetSuffix)); err != nil {
		return fmt.Errorf("finish reset: %w", err)
	}
	return fsys.SyncDir(dir)
}
