package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

// walkPart verifies one part from end to end and calls fn, if not nil, for each
// frame.
func walkPart(fsys FS, path string, fn func(Identity, Frame) error) (e partEnd, err error) {
	h, err := fsys.OpenFile(path, 0, 0)
	if err != nil {
		return e, err
	}
	defer closeQuietly(h)
	id, e, endPos, err := readPart(h, path)
	if err != nil {
		return e, err
	}
	sc := &scanner{h: h, path: path, sums: newChecksums(id), limit: endPos, chunk: scanChunk}
	// Frames of a part are numbered from 1 and have no terms.
	w := walker{next: e.Start}
	for {
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && it.letter == 'f' {
			var f Frame
			if f, err = sc.frame(&it); err == nil {
				err = w.followPart(&f, it.pos)
			}
			if err == nil && fn != nil {
				if err := fn(id, f); err != nil {
					return e, err
				}
			}
		}
		if err != nil {
			return e, sc.corrupt(err)
		}
		sc.pos = it.end
	}
	// Each frame is sound, yet one may be missing at the end.
	if w.last != e.frames || w.next > e.Next {
		return e, &CorruptError{Path: path, Offset: endPos, Err: fmt.Errorf("the part holds %d frames, its last line says %d", w.last, e.frames)}
	}
	return e, nil
}

func verifyPart(fsys FS, path string, report func(path string, offset int64, err error)) error {
	_, err := walkPart(fsys, path, nil)
	var bad *CorruptError
	switch {
	case errors.As(err, &bad):
		report(bad.Path, bad.Offset, bad.Err)
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		report(path, 0, err) // a file that cannot be read counts as damaged
	}
	return nil
}

// walkParts calls fn for the frames of the newest complete generation, and returns
// the offset after its last record, 0 if there is none.
func walkParts(fsys FS, dir string, names []string, fn func(path string, id Identity, f Frame) error) (int64, error) {
	slices.Sort(names)
	newest, floor := uint64(0), int64(0)
	for _, name := range names {
		h, err := fsys.OpenFile(filepath.Join(dir, name), 0, 0)
		if err != nil {
			return 0, err
		}
		_, e, _, err := readPart(h, filepath.Join(dir, name))
		if err = errors.Join(err, h.Close()); err != nil {
			return 0, err
		}
		// A single file may be looked at by itself, whatever others there would be.
		if e.parts > 0 && e.Generation > newest || len(names) == 1 {
			newest, floor = e.Generation, e.Next
		}
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, generation, _ := partName(name); generation != newest {
			continue
		}
		if _, err := walkPart(fsys, path, func(id Identity, f Frame) error { return fn(path, id, f) }); err != nil {
			return 0, err
		}
	}
	return floor, nil
}
