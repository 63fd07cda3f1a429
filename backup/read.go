package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxLine bounds a line of a file: a record of 16 MiB, whose bytes may be escaped.
const maxLine = 128 << 20

// scan reads a file whole, and calls each, if it is not nil, for every record. Errors: those
// of each; the file is not what was written.
func (f *File) scan(dir string, each func(l *line, raw []byte) error) error {
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
		return fmt.Errorf("%s is not below the directory", f.Path)
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read from
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("%s is damaged: %s", path, fmt.Sprintf(format, args...))
	}
	sum := sha256.New()
	s := bufio.NewScanner(io.TeeReader(in, sum))
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	records, size, at := int64(0), int64(0), f.Base
	for s.Scan() {
		raw := s.Bytes()
		size += int64(len(raw)) + 1
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return damaged("%v", err)
		}
		if l.Offset < at || l.Offset >= f.Next {
			return damaged("a record with offset %d, which is not in its place", l.Offset)
		}
		at = l.Offset + 1
		records++
		if each != nil {
			if err := each(&l, raw); err != nil {
				return err
			}
		}
	}
	switch err := s.Err(); {
	case err != nil:
		return damaged("%v", err)
	case f.Sum == "": // it is counted now
		f.Records, f.Bytes, f.Sum = records, size, hex.EncodeToString(sum.Sum(nil))
	case records != f.Records, size != f.Bytes, hex.EncodeToString(sum.Sum(nil)) != f.Sum:
		return damaged("its content does not match the manifest")
	}
	return nil
}

// Verify reads everything that a backup consists of. Errors: what is damaged or missing,
// all of it.
func (m *Manifest) Verify(dir string) error {
	var errs []error
	for i := range m.Topics {
		t := &m.Topics[i]
		for n := range t.Partitions {
			p := &t.Partitions[n]
			if err := p.check(); err != nil {
				errs = append(errs, fmt.Errorf("partition %d of topic %s: %w", n, t.Name, err))
			}
			for j := range p.Files {
				if err := p.Files[j].scan(dir, nil); err != nil {
					errs = append(errs, err)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// check reports whether the files of a partition follow each other from its start to its
// end.
func (p *Partition) check() error {
	at := p.Start
	for i := range p.Files {
		f := &p.Files[i]
		if f.Base > at || f.Next <= at && f.Next != f.Base || f.Sum == "" {
			return fmt.Errorf("the records from offset %d on are missing", at)
		}
		at = max(at, f.Next)
	}
	if at < p.End {
		return fmt.Errorf("the records from offset %d to %d are missing", at, p.End)
	}
	return nil
}

// Totals counts a backup.
func (m *Manifest) Totals() (records, bytes int64) {
	for i := range m.Topics {
		for _, p := range m.Topics[i].Partitions {
			for _, f := range p.Files {
				records, bytes = records+f.Records, bytes+f.Bytes
			}
		}
	}
	return records, bytes
}
