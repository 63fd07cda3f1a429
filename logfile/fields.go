package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// fields reads the space-separated fields of a line. The first error is kept, so
// that callers check once at the end.
type fields struct {
	rest []byte
	err  error
}

var errFewFields = errors.New("the line has too few fields")

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// word returns the next field, up to a space or the end of the line.
func (f *fields) word() []byte {
	if len(f.rest) == 0 {
		f.fail(errFewFields)
		return nil
	}
	n := bytes.IndexByte(f.rest, ' ')
	if n < 0 {
		n = len(f.rest)
	}
	w := f.rest[:n]
	f.rest = f.rest[min(n+1, len(f.rest)):]
	return w
}

// uint reads a decimal number without sign or leading zeros.
func (f *fields) uint() uint64 {
	const sure = 19 // any number of so many digits fits
	v, b := uint64(0), f.rest
	for i := 0; i < min(len(b), sure); i++ {
		d := b[i] - '0'
		if d > 9 {
			if b[i] == ' ' && i > 0 && (i == 1 || b[0] != '0') {
				f.rest = b[i+1:]
				return v
			}
			break
		}
		v = v*10 + uint64(d)
	}
	return f.anyUint()
}

// anyUint is uint for text of any length, numbers or not.
func (f *fields) anyUint() uint64 {
	w := f.word()
	var v uint64
	for _, c := range w {
		d := uint64(c - '0')
		if c < '0' || c > '9' || v > (1<<64-1-d)/10 {
			f.fail(fmt.Errorf("bad number %q", w))
			return 0
		}
		v = v*10 + d
	}
	if len(w) == 0 || len(w) > 1 && w[0] == '0' {
		f.fail(fmt.Errorf("bad number %q", w))
	}
	return v
}

// int reads a decimal number that may be negative.
func (f *fields) int() int64 {
	w := f.word()
	v, err := strconv.ParseInt(string(w), 10, 64)
	if err != nil {
		f.fail(fmt.Errorf("bad number %q", w))
	}
	return v
}

// hex reads a checksum of 8 hexadecimal digits.
func (f *fields) hex() uint32 {
	v, ok := parseHex(f.word())
	if !ok {
		f.fail(errors.New("a checksum field does not hold 8 hexadecimal digits"))
	}
	return v
}

// quoted reads a string in Go syntax.
func (f *fields) quoted() string {
	q, err := strconv.QuotedPrefix(string(f.rest))
	if err != nil {
		f.fail(fmt.Errorf("bad string: %w", err))
		return ""
	}
	f.rest = bytes.TrimPrefix(f.rest[len(q):], []byte{' '})
	s, err := strconv.Unquote(q)
	if err != nil {
		f.fail(fmt.Errorf("bad string: %w", err))
	}
	return s
}

// end returns the first error, or one for fields that were not read.
func (f *fields) end() error {
	if f.err == nil && len(f.rest) != 0 {
		f.err = errors.New("the line has too many fields")
	}
	return f.err
}

func appendUint(dst []byte, v uint64) []byte { return strconv.AppendUint(append(dst, ' '), v, 10) }
func appendInt(dst []byte, v int64) []byte   { return strconv.AppendInt(append(dst, ' '), v, 10) }
func appendQuote(dst []byte, s string) []byte {
	return strconv.AppendQuote(append(dst, ' '), s)
}
