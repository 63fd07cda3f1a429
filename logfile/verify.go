package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
)

// Verify walks every log in path or below it and reports each file that is
// damaged, with the position of the first damage in it. A short last entry, as
// a killed process leaves it, is none. It changes nothing, and is for logs
// that no process has open. An error means that something could not be read.
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

// WalkFrames calls fn for every entry of every log in path or below it, in
// order; the body is valid during the call. The frames of a compacted log's
// parts come first, and the records that they replace do not come again. It
// stops at the first error, be it damage or fn's.
func WalkFrames(fsys FS, path string, fn func(path string, id Identity, f Frame) error) error {
	return walkListings(fsys, path, func(dir string, found listing) error {
		floor, err := walkParts(fsys, dir, found.parts, fn)
		if err != nil {
			return err
		}
		each := func(path string, id Identity, f Frame) error {
			if f.Count > 0 && f.BaseOffset < floor {
				return nil
			}
			return fn(path, id, f)
		}
		for i, base := range found.bases {
			w := &segmentWalk{fsys: fsys, path: segmentPath(dir, base), tail: i == len(found.bases)-1, each: each}
			if err := w.run(nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// walkLogs finds directories that hold segments; path may also be a segment.
func walkLogs(fsys FS, path string, fn func(dir string, bases []int64) error) error {
	return walkListings(fsys, path, func(dir string, found listing) error { return fn(dir, found.bases) })
}

// walkListings is walkLogs with all that lies there; path may also be a part.
func walkListings(fsys FS, path string, fn func(dir string, found listing) error) error {
	fi, err := fsys.Stat(path)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
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
	if len(found.bases) > 0 {
		if err := fn(path, found); err != nil {
			return err
		}
	}
	list, err := fsys.ReadDir(path)
	if err != nil {
		return err
	}
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
		w := &segmentWalk{fsys: fsys, path: segmentPath(dir, base), tail: i == len(bases)-1}
		err := w.run(prev)
		var bad *CorruptError
		switch {
		case errors.As(err, &bad):
			report(bad.Path, bad.Offset, bad.Err)
			w = nil // what follows cannot be compared with it
		case errors.Is(err, fs.ErrNotExist):
			return err
		case err != nil:
			report(w.path, 0, err) // bytes that cannot be read are damage too
			w = nil
		}
		prev = w
	}
	return nil
}

// segmentWalk reads one segment from end to end.
type segmentWalk struct {
	fsys FS
	path string
	tail bool // the newest segment: its last entry may be short
	each func(path string, id Identity, f Frame) error

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
	if s.tail && errors.As(err, &bad) {
		// The boot that wrote the end counts as the running one: only a short last
		// write is no damage.
		return judgeTail(scan.sc, bad, scan.w.last+1, scan.proof, scan.proof.boot)
	}
	return scan.sc.corrupt(err)
}

// follows checks that the segment continues the one before.
func (s *segmentWalk) follows(prev *segmentWalk, cp *Checkpoint) error {
	fail := func(err error) error { return &CorruptError{Path: s.path, Err: err} }
	if segmentPath("", cp.NextOffset) != filepath.Base(s.path) {
		return fail(fmt.Errorf("holds offset %d", cp.NextOffset))
	}
	if prev == nil {
		return nil
	}
	if prev.head.id != s.head.id {
		return fail(errors.New("belongs to another replica than the segment before it"))
	}
	if prev.w.last != cp.Index || prev.w.next != cp.NextOffset || prev.size != s.head.prevSize {
		return &CorruptError{Path: prev.path, Offset: prev.size, Err: errors.New("does not end where the next segment begins")}
	}
	return nil
}
