package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

const (
	compactFrame = 16 << 10  // bytes of records in a frame of a part, unless one record is larger
	compactChunk = 256 << 10 // bytes of a write
	compactSync  = 4 << 20   // bytes between two syncs
)

// tmpSerial makes the temporary names of a process unique, so that an abandoned
// writer cannot disturb the next one.
var tmpSerial atomic.Uint64

// PartWriter writes one generation of parts under temporary names, in small synced
// steps. It is for one goroutine, any one. The generation counts only after
// Log.StageCompacted.
type PartWriter struct {
	log       *Log // the fields of the log that never change: names, identity, checksums
	info      CompactedInfo
	partBytes int64
	pace      func(bytes int) error

	set      CompactedSet
	h        Handle
	path     string
	buf      []byte
	pos      int64 // of buf[0] in the file
	unsynced int64
	index    *indexer
	end      partEnd

	body  []byte
	base  int64 // of body's first record
	count int
	next  int64
}

func newPartWriter(l *Log, info CompactedInfo, pace func(bytes int) error) *PartWriter {
	w := &PartWriter{log: l, info: info, partBytes: l.opt.SegmentBytes, pace: pace, next: info.Start}
	w.set.CompactedInfo, w.set.log = info, l
	w.set.Records, w.set.Tombstones = 0, 0
	return w
}

// Append adds whole record lines in the order of their offsets.
func (w *PartWriter) Append(lines []byte) error {
	var err error
	eachLine(lines, func(_ int, line []byte) bool {
		var l Line
		if l, err = ParseLine(line); err == nil {
			err = w.add(line, &l.Record)
		}
		return err == nil
	})
	return err
}

// add appends one record, whose line comes without its LF.
func (w *PartWriter) add(line []byte, r *Record) error {
	if r.Offset < w.next || r.Offset >= w.info.Next {
		return fmt.Errorf("write part: %w: offset %d is not between %d and %d", ErrRefused, r.Offset, w.next, w.info.Next)
	}
	// Frames are small, because a reader of one record verifies all of its frame.
	if len(w.body)+len(line) >= compactFrame && w.count > 0 {
		if err := w.frame(); err != nil {
			return err
		}
	}
	if w.count == 0 {
		w.base = r.Offset
	}
	w.body = append(append(w.body, line...), '\n')
	w.count++
	w.next = r.Offset + 1
	w.set.Records++
	if isTombstone(r) {
		w.set.Tombstones++
	}
	return nil
}

// frame encodes the records that have gathered as one frame.
func (w *PartWriter) frame() error {
	if w.count == 0 {
		return nil
	}
	if w.h != nil && w.pos+int64(len(w.buf)) >= w.partBytes {
		if err := w.endPart(w.base, false); err != nil {
			return err
		}
	}
	if err := w.begin(); err != nil {
		return err
	}
	w.end.frames++
	f := Frame{
		Index: w.end.frames, Kind: KindCompacted, BaseOffset: w.base, Count: w.count,
		AppendTime: w.info.AppendTime, Body: w.body, BodySum: Checksum(w.body),
	}
	at := w.pos + int64(len(w.buf))
	w.buf = appendFrameHead(w.buf, w.log.sums, &f, 0)
	w.index.add(&f, at, w.pos+int64(len(w.buf)))
	w.buf = append(w.buf, w.body...)
	w.body, w.count = w.body[:0], 0
	if len(w.buf) >= compactChunk {
		return w.write()
	}
	return nil
}

// begin creates the file of the next part if none is open.
func (w *PartWriter) begin() error {
	if w.h != nil {
		return nil
	}
	start := w.info.Start
	// It covers from where the one before ends, not from its first record: parts leave no
	// gap.
	if n := len(w.set.parts); n > 0 {
		start = w.set.parts[n-1].next
	}
	w.path = partPath(w.log.dir, start, w.info.Generation)
	tmp := fmt.Sprintf("%s.%d.tmp", w.path, tmpSerial.Add(1))
	h, err := w.log.fsys.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, filePerm)
	if err != nil {
		return fmt.Errorf("create part: %w", err)
	}
	w.h, w.pos, w.unsynced = h, 0, 0
	w.set.tmp = append(w.set.tmp, tmp)
	w.index = newIndexer(w.log.opt.IndexInterval)
	w.end = partEnd{CompactedInfo: w.info, part: len(w.set.parts)}
	w.end.Start = start
	w.buf = appendSegmentHead(w.buf[:0], &segmentHead{id: w.log.id, boot: w.log.opt.BootID, prevBase: -1})
	return nil
}

// write writes what is encoded to the file.
func (w *PartWriter) write() error {
	if err := w.pace(len(w.buf)); err != nil {
		return err
	}
	if _, err := w.h.WriteAt(w.buf, w.pos); err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	n := int64(len(w.buf))
	w.pos, w.unsynced, w.buf = w.pos+n, w.unsynced+n, w.buf[:0]
	// Often and little at a time: one sync of all at the end would hold up the syncs of
	// those who produce.
	if w.unsynced < compactSync {
		return nil
	}
	w.unsynced = 0
	return w.sync()
}

func (w *PartWriter) sync() error {
	if err := w.h.Datasync(); err != nil {
		return fmt.Errorf("sync part: %w", err)
	}
	return nil
}

// endPart completes a part that covers offsets up to next.
func (w *PartWriter) endPart(next int64, last bool) error {
	w.end.Next = next
	w.end.Records, w.end.Tombstones = w.set.Records, w.set.Tombstones
	w.end.maxTime = w.index.maxTime()
	if last {
		w.end.parts = len(w.set.parts) + 1
	}
	endPos := w.pos + int64(len(w.buf))
	w.buf = appendPartEnd(w.buf, &w.end, w.log.sums.local)
	if err := w.write(); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	h := w.h
	w.h = nil
	if err := h.Close(); err != nil {
		return fmt.Errorf("close part: %w", err)
	}
	s := w.log.partSegment(w.path, &w.end, endPos)
	// Under its final name already: without the part it is a leftover, which Open removes.
	_ = writeIndexFile(w.log.fsys, indexPath(w.path), w.index.entries, s.indexKey()) // a missing one is rebuilt
	w.set.parts = append(w.set.parts, s)
	return nil
}

// Finish completes the generation. Its files are durable afterwards, except for
// their names.
func (w *PartWriter) Finish() (*CompactedSet, error) {
	if err := w.frame(); err != nil {
		return nil, err
	}
	// Also where no record is left there has to be a part that says so.
	if err := w.begin(); err != nil {
		return nil, err
	}
	if err := w.endPart(w.info.Next, true); err != nil {
		return nil, err
	}
	return &w.set, nil
}

// Abort removes what was written. It returns the cause, joined with errors of the
// removal.
func (w *PartWriter) Abort(cause error) error {
	if w.h != nil {
		cause = errors.Join(cause, w.h.Close())
		w.h = nil
	}
	return errors.Join(cause, w.set.Discard())
}

// Discard removes the files of a generation for which StageCompacted was not
// called.
func (s *CompactedSet) Discard() error {
	var errs []error
	for _, tmp := range s.tmp {
		errs = append(errs, s.log.remove(tmp))
	}
	for _, p := range s.parts {
		errs = append(errs, s.log.remove(indexPath(p.file.path)))
	}
	return errors.Join(errs...)
}

// isTombstone reports whether the record says that its key was deleted.
func isTombstone(r *Record) bool { return bytes.Equal(r.Value, nullToken) }

var nullToken = []byte("-")
