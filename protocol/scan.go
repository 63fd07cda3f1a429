package protocol

import "fmt"

// MaxJSONDepth is how deep arrays and objects of a value may be nested.
const MaxJSONDepth = 512

// SyntaxError says where and why a text is not JSON.
type SyntaxError struct {
	Offset int // bytes from the start of the text
	Reason string
}

// TooDeep reports whether the text may be JSON, but is nested deeper than
// MaxJSONDepth.
func (e *SyntaxError) TooDeep() bool { return e.Reason == tooDeep }

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// JSONValue is one validated JSON value within a larger text.
type JSONValue struct {
	Raw []byte // without white space around it; aliases the text
	valueFacts
}

// valueFacts is what the scanner has seen of a value.
type valueFacts struct {
	Spaced bool  // there is white space outside of strings
	escape bool  // there is an escape in a string or a name
	Depth  int32 // of the deepest array or object: 0 in a scalar, 1 in [1]
	Digits int32 // of the number that has the most, exponent included; 0 without a number
}

// HalfSurrogate reports whether the value has a string or a name with half of a
// surrogate pair, see HasHalfSurrogate.
func (v *JSONValue) HalfSurrogate() bool { return v.escape && HasHalfSurrogate(v.Raw) }

// Escaped reports whether the value has an escape in a string or a name.
func (v *JSONValue) Escaped() bool { return v.escape }

// Compact returns the value without white space outside of strings: Raw itself if
// there is none, else a copy appended to *scratch.
func (v *JSONValue) Compact(scratch *[]byte) []byte {
	if !v.Spaced {
		return v.Raw
	}
	start := len(*scratch)
	*scratch = appendWithoutSpace(*scratch, v.Raw)
	return (*scratch)[start:len(*scratch):len(*scratch)]
}

// AppendCompactJSON validates src as one JSON value (RFC 8259, valid UTF-8,
// at most MaxJSONDepth deep), appends it to dst without white space outside
// of strings and returns the extended slice. Errors are *SyntaxError.
func AppendCompactJSON(dst, src []byte) ([]byte, error) {
	r := NewJSONReader(src)
	v, ok := r.Value()
	if !ok {
		return dst, r.Err()
	}
	if err := r.End(); err != nil {
		return dst, err
	}
	return appendWithoutSpace(dst, v.Raw), nil
}

// appendWithoutSpace appends valid JSON without the white space between tokens.
func appendWithoutSpace(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		switch c := src[i]; {
		case isSpace(c):
			i++
		case c == '"':
			end, _, _ := scanString(src, i)
			dst = append(dst, src[i:end]...)
			i = end
		default:
			start := i
			for i < len(src) && src[i] != '"' && !isSpace(src[i]) {
				i++
			}
			dst = append(dst, src[start:i]...)
		}
	}
	return dst
}

// nesting records for every open container whether it is an object.
type nesting struct {
	objects [MaxJSONDepth / 64]uint64
	depth   int
	deepest int
}

func (n *nesting) push(object bool) bool {
	if n.depth == MaxJSONDepth {
		return false
	}
	word, bit := n.depth/64, uint64(1)<<(n.depth%64)
	if object {
		n.objects[word] |= bit
	} else {
		n.objects[word] &^= bit
	}
	n.depth++
	n.deepest = max(n.deepest, n.depth)
	return true
}

func (n *nesting) inObject() bool {
	top := n.depth - 1
	return n.objects[top/64]&(1<<(top%64)) != 0
}

// scanValue validates the value that begins at src[i]. It returns the index after
// it and what it has seen of it. If reason is not empty, the value is invalid at
// end.
func scanValue(src []byte, i int) (end int, facts valueFacts, reason string) {
	switch at(src, i) {
	case '{', '[':
		return scanContainer(src, i)
	default:
		end, reason = facts.scalar(src, i)
		return end, facts, reason
	}
}

// tooDeep is the reason of a value with more levels than MaxJSONDepth.
var tooDeep = fmt.Sprintf("nested deeper than %d", MaxJSONDepth)

// scanContainer validates nested arrays and objects without recursion, so that a
// level costs one bit and not a stack frame.
func scanContainer(src []byte, i int) (end int, facts valueFacts, reason string) {
	var n nesting
	for {
		// src[i] begins a value.
		switch c := at(src, i); c {
		case '{', '[':
			if !n.push(c == '{') {
				return i, valueFacts{}, tooDeep
			}
			i = facts.skip(src, i+1)
			if at(src, i) != c+2 { // '}' and ']' follow their openers by two
				if c == '{' {
					if i, reason = facts.key(src, i); reason != "" {
						return i, valueFacts{}, reason
					}
				}
				continue
			}
		default:
			if i, reason = facts.scalar(src, i); reason != "" {
				return i, valueFacts{}, reason
			}
			i = facts.skip(src, i)
		}
		i, reason = facts.closeContainers(src, i, &n)
		if reason != "" || n.depth == 0 {
			facts.Depth = int32(n.deepest)
			return i, facts, reason
		}
		i = facts.skip(src, i+1) // past the comma
		if n.inObject() {
			if i, reason = facts.key(src, i); reason != "" {
				return i, valueFacts{}, reason
			}
		}
	}
}

// closeContainers consumes closing brackets until a comma or until the
// outermost container is closed.
func (f *valueFacts) closeContainers(src []byte, i int, n *nesting) (int, string) {
	for {
		c, want := at(src, i), byte(']')
		if n.inObject() {
			want = '}'
		}
		switch c {
		case ',':
			return i, ""
		case want:
			n.depth--
			if n.depth == 0 {
				return i + 1, ""
			}
			i = f.skip(src, i+1)
		default:
			return i, expected(src, i, "',' or '"+string(want)+"'")
		}
	}
}

// key validates a field's name and the colon behind it, and returns the index of
// the field's value.
func (f *valueFacts) key(src []byte, i int) (int, string) {
	if at(src, i) != '"' {
		return i, expected(src, i, "a field name")
	}
	i, escape, reason := scanString(src, i)
	if reason != "" {
		return i, reason
	}
	f.escape = f.escape || escape
	if i = f.skip(src, i); at(src, i) != ':' {
		return i, expected(src, i, "':'")
	}
	return f.skip(src, i+1), ""
}

// skip returns the index of the first byte from src[i] on that is no white space.
func (f *valueFacts) skip(src []byte, i int) int {
	if i < len(src) && src[i] > ' ' {
		return i
	}
	k := skipSpace(src, i)
	f.Spaced = f.Spaced || k != i
	return k
}
