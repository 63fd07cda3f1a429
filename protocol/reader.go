package protocol

import "bytes"

// JSONReader reads a JSON text in a single pass, without building values and
// without allocating. The caller enters the containers that it knows and takes all
// other values whole.
//
//	r := NewJSONReader(text)
//	for r.Object(); r.Field(); {
//		switch string(r.Key) { ... r.Value() ... }
//	}
//	err := r.End()
//
// The first error is kept: every later call returns false.
type JSONReader struct {
	Key []byte // the field name that Field found, decoded

	src   []byte
	pos   int
	fresh bool // at the beginning of a container: no comma is due
	err   *SyntaxError
}

// NewJSONReader returns a reader at the beginning of src.
func NewJSONReader(src []byte) JSONReader { return JSONReader{src: src} }

// Err is the first error, a *SyntaxError, or nil.
func (r *JSONReader) Err() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// Kind is the first byte of the next value: '{', '[', '"', a digit, '-', 't',
// 'f', 'n', or 0 at the end. It does not check the rest of the value.
func (r *JSONReader) Kind() byte {
	r.pos = skipSpace(r.src, r.pos)
	return at(r.src, r.pos)
}

// Object enters an object; false if the next value is not one.
func (r *JSONReader) Object() bool { return r.enter('{', "an object") }

// Array enters an array; false if the next value is not one.
func (r *JSONReader) Array() bool { return r.enter('[', "an array") }

// Field moves to the next field of the object that was entered last. If there is
// none, it leaves the object and returns false.
func (r *JSONReader) Field() bool {
	if !r.next('}') {
		return false
	}
	if r.Kind() != '"' {
		return r.fail(r.pos, expected(r.src, r.pos, "a field name"))
	}
	start := r.pos + 1
	end, escape, reason := scanString(r.src, r.pos)
	if reason != "" {
		return r.fail(end, reason)
	}
	r.Key = r.src[start : end-1]
	if escape {
		r.Key, _ = AppendUnescaped(nil, r.Key)
	}
	if r.pos = skipSpace(r.src, end); at(r.src, r.pos) != ':' {
		return r.fail(r.pos, expected(r.src, r.pos, "':'"))
	}
	r.pos++
	return true
}

// Element moves to the next element of the array that was entered last. If there
// is none, it leaves the array and returns false.
func (r *JSONReader) Element() bool { return r.next(']') }

// Value returns the next value whole.
func (r *JSONReader) Value() (v JSONValue, ok bool) {
	ok = r.ValueInto(&v)
	return v, ok
}

// ValueInto is Value for the hot path: a value is long enough for its copies to count.
func (r *JSONReader) ValueInto(v *JSONValue) bool {
	if r.err != nil {
		return false
	}
	start := skipSpace(r.src, r.pos)
	end, facts, reason := scanValue(r.src, start)
	if reason != "" {
		return r.fail(end, reason)
	}
	r.pos = end
	v.Raw, v.valueFacts = r.src[start:end:end], facts
	return true
}

// Natural takes the next value if it is a number of 1 to 18 digits and nothing else,
// which most numbers are that a program counts with. Else it takes nothing.
func (r *JSONReader) Natural() (n int64, ok bool) {
	i := r.pos
	for ; i < len(r.src) && isDigit(r.src[i]); i++ {
		n = n*10 + int64(r.src[i]-'0')
	}
	digits := i - r.pos
	if r.err != nil || digits == 0 || digits > safeDigits || digits > 1 && r.src[r.pos] == '0' {
		return 0, false
	}
	switch at(r.src, i) {
	case ',', '}', ']':
		r.pos = i
		return n, true
	}
	return 0, false
}

// Skip moves past text if that is next, byte for byte, and else not at all. Text is what
// Object, Field and Value have gone over before, in a text that began the same, from any
// token to the end of one that no comma precedes.
func (r *JSONReader) Skip(text []byte) bool {
	if r.err != nil || !bytes.HasPrefix(r.src[r.pos:], text) {
		return false
	}
	r.pos += len(text)
	r.fresh = false
	return true
}

// Mark is the position of the first byte of the next value, for Since.
func (r *JSONReader) Mark() int {
	r.Kind()
	return r.pos
}

// Since is the source text from a Mark to the end of what was read. With it, a
// caller that has read a value field by field can get the whole value.
func (r *JSONReader) Since(mark int) []byte { return r.src[mark:r.pos:r.pos] }

// End checks that only white space is left, and returns the first error.
func (r *JSONReader) End() error {
	if r.Kind(); r.pos < len(r.src) {
		r.fail(r.pos, "unexpected text after the value")
	}
	return r.Err()
}

func (r *JSONReader) enter(open byte, what string) bool {
	if r.err != nil {
		return false
	}
	if r.Kind() != open {
		return r.fail(r.pos, expected(r.src, r.pos, what))
	}
	r.pos++
	r.fresh = true
	return true
}

// next consumes a comma if one is due, or the closing bracket.
func (r *JSONReader) next(closing byte) bool {
	if r.err != nil {
		return false
	}
	c, fresh := r.Kind(), r.fresh
	r.fresh = false
	switch {
	case c == closing:
		r.pos++
		return false
	case fresh:
		return true
	case c != ',':
		return r.fail(r.pos, expected(r.src, r.pos, "',' or '"+string(closing)+"'"))
	}
	r.pos++
	return true
}

func (r *JSONReader) fail(offset int, reason string) bool {
	if r.err == nil {
		r.err = &SyntaxError{Offset: offset, Reason: reason}
	}
	return false
}
