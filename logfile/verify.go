package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
)

// Verify reads every log in path or below it and calls report for each damaged
// file with the position in bytes of the first damage in it. A short last entry,
// as a killed process leaves it, is no damage. Verify changes nothing. No process
// may have the logs open. It returns an error when a directory or a file that was
// listed cannot be read.
func Verify(fsys FS, path string, report func(path string, offset int64, err error)) error {
	return walkListings(fsys, path, func(dir string, found listing) error {
		for _, name := range found.parts {
			if err := verifyPart(fsys, filepath.Join(dir, name), report); err != nil {
				return err
			}
		}
		return verifyDir(fsys, dir, found.bases, report)
	})
}

// WalkFrames calls fn for every entry of every log in path or below it, in order;
// the body is valid during the call. The frames of a compacted log's parts come
// first, and entries whose records they replace are left out. It stops at the
// first error: damage, or the error of fn.
func WalkFrames(fsys FS, path string, fn func(path string, id Identity, f Frame) error) error {
	return walkListings(fsys, path, func(dir string, found listing) error {
		// Up to there the parts hold what is left of the log's records.
		floor, err := walkParts(fsys, dir, found.parts, fn)
		if err != nil {
			return err
		}
		each := func(path string, id Identity, f Frame) error {
			// Entries without records are in no part.
			if f.Count > 0 && f.BaseOffset < floor {
				return nil
			}
			return fn(path, id, f)
		}
		for i, base := range found.bases {
			w := &segmentWalk{fsys: fsys, path: segmentPath(dir, base), newest: i == len(found.bases)-1, each: each}
			if err := w.run(nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// walkLogs calls fn for each directory in path or below it that holds segments;
// path may also be a segment.
func walkLogs(fsys FS, path string, fn func(dir string, bases []int64) error) error {
	return walkListings(fsys, path, func(dir string, found listing) error { return fn(dir, found.bases) })
}

// walkListings is walkLogs with the whole listing; path may also be a part.
func walkListings(fsys FS, path string, fn func(dir string, found listing) error) error {
	fi, err := fsys.Stat(path)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		// A single part is read by itself, without the log that it belongs to.
		if _, _, isPart := partName(filepath.Base(path)); isPart {
			return fn(filepath.Dir(path), listing{parts: []string{filepath.Base(path)}})
		}
		var base int64
		if _, err := fmt.Sscanf(filepath.Base(path), "%020d.log", &base); err != nil {
			return fmt.Errorf("%s is not a segment: %w", path, err)
		}
		return fn(filepath.Dir(path), listing{bases: []int64{base}})
	}
	found, err := listDir(fsys, path)
	if err != nil {
		return err
	}
	// Without a segment it is a directory above the logs.
	if len(found.bases) > 0 {
		if err := fn(path, found); err != nil {
			return err
		}
	}
	list, err := fsys.ReadDir(path)
	if err != nil {
		return err
	}
	// Two runs over the same files report in the same order.
	sort.Slice(list, func(i, k int) bool { return list[i].Name() < list[k].Name() })
	for _, e := range list {
		if e.IsDir() {
			if err := walkListings(fsys, filepath.Join(path, e.Name()), fn); err != nil {
				return err
			}
		}
	}
	return nil
}

func verifyDir(fsys FS, dir string, bases []int64, report func(string, int64, error)) error {
	var prev *segmentWalk
	for i, base := range bases {
		w := &segmentWalk{fsys: fsys, path: segmentPath(dir, base), newest: i == len(bases)-1}
		// Each segment, also after a damaged one: a report is to name all of the damage.
		err := w.run(prev)
		var bad *CorruptError
		switch {
		case errors.As(err, &bad):
			report(bad.Path, bad.Offset, bad.Err)
			w = nil // the next segment cannot be compared with it
		case errors.Is(err, fs.ErrNotExist):
			return err
		case err != nil:
			report(w.path, 0, err) // a file that cannot be read counts as damaged
			w = nil
		}
		prev = w
	}
	return nil
}

// segmentWalk reads one segment from end to end.
type segmentWalk struct {
	fsys   FS
	path   string
	newest bool // the segment is the newest: its last entry may be short
	each   func(path string, id Identity, f Frame) error

	head *segmentHead
	size int64
	w    walker
}

func (s *segmentWalk) run(prev *segmentWalk) error {
	f, err := openSegment(s.fsys, s.path, openRead)
	if err != nil {
		return err
	}
	defer closeQuietly(f.h)
	s.head, s.size, s.w = f.head, f.size, f.walker()
	if err := s.follows(prev, &f.cp); err != nil {
		return err
	}
	scan := f.scan(4 * scanChunk)
	var on scanEvents
	if s.each != nil {
		on.frame = func(_ *item, f *Frame) error { return s.each(s.path, s.head.id, *f) }
	}
	err = scan.run(&on)
	s.w = scan.w
	var bad *badItem
	if s.newest && errors.As(err, &bad) {
		// The boot that wrote the end counts as the running one: only a short last
		// write is no damage.
		return judgeTail(scan.sc, bad, scan.w.last+1, scan.proof, scan.proof.boot)
	}
	return scan.sc.corrupt(err)
}

// follows checks that the segment continues the one before it.
func (s *segmentWalk) follows(prev *segmentWalk, cp *Checkpoint) error {
	fail := func(err error) error { return &CorruptError{Path: s.path, Err: err} }
	if segmentPath("", cp.NextOffset) != filepath.Base(s.path) {
		return fail(fmt.Errorf("the segment begins at offset %d, which is not the one in its name", cp.NextOffset))
	}
	if prev == nil {
		return nil
	}
	if prev.head.id != s.head.id {
		return fail(errors.New("the segment belongs to another replica than the one before it"))
	}
	if prev.w.last != cp.Index || prev.w.next != cp.NextOffset || prev.size != s.head.prevSize {
		return &CorruptError{Path: prev.path, Offset: prev.size, Err: errors.New("the segment does not end where the next one begins")}
	}
	return nil
}
