package logfile

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const timestampLen = len("2006-01-02 15:04:05.000")

var (
	errTimestamp   = errors.New("the line does not begin with a timestamp")
	errOffsetRange = errors.New("the partition or the offset is out of range")
)

// ParseLine reads one record line without its LF:
//
//	<date> <time> <topic> <partition> <offset> <key> <value> <action>[ <headers>]
//
// The tokens are slices of line. They are checked only as far as is needed to find
// where they end.
func ParseLine(line []byte) (Line, error) {
	var l Line
	ms, ok := parseTimestamp(line)
	if !ok || len(line) == timestampLen || line[timestampLen] != ' ' {
		return l, errTimestamp
	}
	l.Timestamp = ms
	f := fields{rest: line[timestampLen+1:]}
	l.Topic = f.word()
	partition, offset := f.uint(), f.uint()
	if f.err != nil {
		return l, f.err
	}
	if partition > 1<<31 || offset > 1<<63-1 {
		return l, errOffsetRange
	}
	if len(l.Topic) == 0 {
		return l, errEmptyField
	}
	l.Partition, l.Offset = int(partition), int64(offset)
	return l, l.parseTokens(&f)
}

var errEmptyField = errors.New("a field of the line is empty")

// parseTokens reads the fields after the offset.
func (r *Record) parseTokens(f *fields) error {
	line := f.rest
	// Most lines have a JSON value and no headers, and then nobody looks at all of its
	// bytes.
	if r.Key = f.token(); r.valueFromEnd(f.rest) {
		return f.err
	}
	r.Value = f.token()
	r.Action = f.word()
	r.Headers = nil
	if len(f.rest) > 0 {
		r.Headers = f.token()
	}
	if err := f.end(); err != nil {
		return err
	}
	if len(r.Action) == 0 || line[len(line)-1] == ' ' {
		return errEmptyField
	}
	return nil
}

// valueFromEnd takes "<value> <action>" apart from its end, which costs the same however
// long the value is. It returns false where that is not certain: with headers, which end
// with no capital letter, and values that do not show by their first and last bytes that
// they are one token.
func (r *Record) valueFromEnd(b []byte) bool {
	i := len(b) - 1
	for i >= 0 && b[i] >= 'A' && b[i] <= 'Z' {
		i--
	}
	if i < 2 || i == len(b)-1 || b[i] != ' ' {
		return false
	}
	switch last := b[i-1]; b[0] {
	case '{':
		if last != '}' {
			return false
		}
	case '[':
		if last != ']' {
			return false
		}
	case '"', 't':
		if last != '"' || b[i-2] == '\\' || b[0] == 't' && b[1] != '"' || i < 3 {
			return false
		}
	default:
		return false
	}
	r.Value, r.Action, r.Headers = b[:i:i], b[i+1:], nil
	return true
}

// lineParser is ParseLine for the lines of one log, most of which have the second,
// topic and partition of the line before.
type lineParser struct {
	second [timestampLen - 3]byte // up to the milliseconds
	ms     int64                  // its beginning, in milliseconds since 1970
	place  []byte                 // " <topic> <partition> "
}

func (p *lineParser) parse(line []byte, r *Record) error {
	const n = timestampLen
	if len(line) < n || string(line[:n-3]) != string(p.second[:]) || !bytes.HasPrefix(line[n:], p.place) || len(p.place) == 0 {
		return p.parseFirst(line, r)
	}
	a, b, c := line[n-3]-'0', line[n-2]-'0', line[n-1]-'0'
	if a > 9 || b > 9 || c > 9 {
		return errTimestamp
	}
	f := fields{rest: line[n+len(p.place):]}
	offset := f.uint()
	if f.err != nil {
		return f.err
	}
	if offset > 1<<63-1 {
		return errOffsetRange
	}
	r.Timestamp = p.ms + int64(a)*100 + int64(b)*10 + int64(c)
	r.Offset = int64(offset)
	return r.parseTokens(&f)
}

// parseFirst parses a line that differs from the one before.
func (p *lineParser) parseFirst(line []byte, r *Record) error {
	l, err := ParseLine(line)
	if err != nil {
		return err
	}
	*r = l.Record
	copy(p.second[:], line)
	// Rounded down, also before 1970.
	p.ms = l.Timestamp - (l.Timestamp%1000+1000)%1000
	p.place = append(append(append(p.place[:0], ' '), l.Topic...), ' ')
	p.place = append(strconv.AppendInt(p.place, int64(l.Partition), 10), ' ')
	return nil
}

// token returns the next token: it ends at a space outside JSON strings.
func (f *fields) token() []byte {
	b := f.rest
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case ' ':
			return f.cut(i)
		case '"':
			n := stringEnd(b[i+1:])
			if n < 0 {
				f.fail(errors.New("a string in the line has no end"))
				return nil
			}
			i += 1 + n
		}
	}
	return f.cut(len(b))
}

func (f *fields) cut(n int) []byte {
	if n == 0 {
		f.fail(errors.New("a token of the line is empty"))
		return nil
	}
	t := f.rest[:n:n]
	f.rest = f.rest[min(n+1, len(f.rest)):]
	return t
}

// stringEnd returns the position of the quote that ends a JSON string, -1 if there
// is none.
func stringEnd(b []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		// The quote is escaped if an odd number of backslashes stands before it.
		esc := i
		for esc > 0 && b[esc-1] == '\\' {
			esc--
		}
		if (i-esc)%2 == 0 {
			return i
		}
	}
}

// parseTimestamp reads "2006-01-02 15:04:05.000", UTC, from the start of b.
func parseTimestamp(b []byte) (ms int64, ok bool) {
	if len(b) < timestampLen {
		return 0, false
	}
	const shape = "dddd-dd-dd dd:dd:dd.ddd"
	var n [7]int
	k := 0
	for i := range timestampLen {
		c := b[i]
		if shape[i] == 'd' {
			if c < '0' || c > '9' {
				return 0, false
			}
			n[k] = n[k]*10 + int(c-'0')
			continue
		}
		if c != shape[i] {
			return 0, false
		}
		k++
	}
	// It takes any numbers, and makes another day of one that does not exist.
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*1e6, time.UTC)
	if n[3] > 23 || n[4] > 59 || n[5] > 59 || t.Day() != n[2] || int(t.Month()) != n[1] {
		return 0, false
	}
	return t.UnixMilli(), true
}

// eachLine calls fn for every record line of a body, without its LF, until fn
// returns false. Lines that start with "#" are passed over.
func eachLine(body []byte, fn func(pos int, line []byte) bool) {
	for pos := 0; pos < len(body); {
		n := bytes.IndexByte(body[pos:], '\n')
		if n < 0 {
			n = len(body) - pos
		}
		if n > 0 && body[pos] != '#' && !fn(pos, body[pos:pos+n]) {
			return
		}
		pos += n + 1
	}
}

// ParseRecords returns the records of a frame in memory; they share its body.
func ParseRecords(f Frame) ([]Record, error) {
	if !f.Kind.hasRecords() {
		return nil, nil
	}
	recs := make([]Record, 0, f.Count)
	var err error
	due := f.BaseOffset
	eachLine(f.Body, func(_ int, line []byte) bool {
		var l Line
		l, err = ParseLine(line)
		gap := f.Kind == KindCompacted && len(recs) > 0 && l.Offset > due
		if err == nil && l.Offset != due && !gap {
			err = fmt.Errorf("it has offset %d instead of %d", l.Offset, due)
		}
		due = l.Offset + 1
		if err != nil {
			err = fmt.Errorf("record %d of entry %d: %w", len(recs), f.Index, err)
			return false
		}
		recs = append(recs, l.Record)
		return true
	})
	// The header was written by the leader, and what stands below must be what it says.
	if err == nil && len(recs) != f.Count {
		err = fmt.Errorf("entry %d holds %d records instead of %d", f.Index, len(recs), f.Count)
	}
	return recs, err
}

// ProducerLines returns the "#p" lines of a frame without the "#p ".
func ProducerLines(f Frame) [][]byte {
	var lines [][]byte
	rest := f.Body
	for bytes.HasPrefix(rest, []byte("#p ")) {
		line, after, _ := bytes.Cut(rest[3:], []byte{'\n'})
		lines, rest = append(lines, line), after
	}
	return lines
}

// OpaqueBody wraps bytes as the body of an entry without records.
func OpaqueBody(data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode([]byte("#e "), data), '\n')
}

// OpaqueData unwraps OpaqueBody.
func OpaqueData(body []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(body, []byte("#e "))
	if ok {
		text, ok = bytes.CutSuffix(text, []byte{'\n'})
	}
	if !ok || bytes.ContainsAny(text, "\r\n") { // which base64 skips
		return nil, errors.New("the body is not one #e line")
	}
	data, err := base64.StdEncoding.Strict().AppendDecode(make([]byte, 0, len(text)), text)
	if err != nil {
		return nil, fmt.Errorf("the #e line is not valid base64: %w", err)
	}
	return data, nil
}

// checkBody verifies that a body holds what its header says and that no line in it
// looks like a header: whole lines, "#p" lines first, Count record lines.
func checkBody(f *Frame) error { return surveyBody(f, &survey{}) }

// surveyBody is checkBody, and surveys the records for the index.
func surveyBody(f *Frame, s *survey) error {
	b := f.Body
	if len(b) > MaxBody {
		return fmt.Errorf("the body has %d bytes, more than the limit of %d", len(b), MaxBody)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		return errNoFinalLF
	}
	s.reset()
	for at := 0; at < len(b); {
		n := bytes.IndexByte(b[at:], '\n')
		switch line := b[at:]; {
		case f.Kind.hasRecords() && line[0] >= '0' && line[0] <= '9':
			s.line(b, at, n)
		case f.Kind == KindRecords && s.records == 0 && bytes.HasPrefix(line, []byte("#p ")):
		case !f.Kind.hasRecords() && bytes.HasPrefix(line, []byte("#e ")):
		default:
			return fmt.Errorf("the body holds a line that does not belong there: %q", line[:min(n+1, 40)])
		}
		at += n + 1
	}
	if s.records != f.Count {
		return fmt.Errorf("the body holds %d records instead of %d", s.records, f.Count)
	}
	return nil
}
