package protocol

import (
	"fmt"
	"unicode/utf8"
)

// MaxJSONDepth is how deep arrays and objects of one value may nest.
const MaxJSONDepth = 512

// SyntaxError says where a text stops being JSON.
type SyntaxError struct {
	Offset int // bytes from the start of the text
	Reason string
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// JSONValue is one validated JSON value within a larger text.
type JSONValue struct {
	Raw    []byte // without white space around it; aliases the text
	Spaced bool   // has white space outside of strings
}

// Compact returns the value without white space outside of strings: Raw
// itself when there is none, else a copy appended to *scratch.
func (v JSONValue) Compact(scratch *[]byte) []byte {
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

// appendWithoutSpace copies valid JSON but for the white space between tokens.
func appendWithoutSpace(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		switch c := src[i]; {
		case isSpace(c):
			i++
		case c == '"':
			end, _ := scanString(src, i)
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

// nesting remembers for every open container whether it is an object.
type nesting struct {
	objects [MaxJSONDepth / 64]uint64
	depth   int
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
	return true
}

func (n *nesting) inObject() bool {
	top := n.depth - 1
	return n.objects[top/64]&(1<<(top%64)) != 0
}

// scanValue validates the value that begins at src[i] and returns the index
// after it, and whether it has white space outside of strings. When reason is
// not empty it is invalid at end.
func scanValue(src []byte, i int) (end int, spaced bool, reason string) {
	switch at(src, i) {
	case '{', '[':
		return scanContainer(src, i)
	default:
		end, reason = scanScalar(src, i)
		return end, false, reason
	}
}

// scanContainer walks nested arrays and objects without recursion, so that
// depth costs a bit each and not a stack frame.
func scanContainer(src []byte, i int) (end int, spaced bool, reason string) {
	var n nesting
	skip := func(j int) int {
		k := skipSpace(src, j)
		spaced = spaced || k != j
		return k
	}
	for {
		// src[i] begins a value.
		switch c := at(src, i); c {
		case '{', '[':
			if !n.push(c == '{') {
				return i, spaced, fmt.Sprintf("nested deeper than %d", MaxJSONDepth)
			}
			i = skip(i + 1)
			if at(src, i) != c+2 { // '}' and ']' follow their openers by two
				if c == '{' {
					if i, reason = scanKey(src, i, skip); reason != "" {
						return i, spaced, reason
					}
				}
				continue
			}
		default:
			if i, reason = scanScalar(src, i); reason != "" {
				return i, spaced, reason
			}
			i = skip(i)
		}
		i, reason = closeContainers(src, i, &n, skip)
		if reason != "" || n.depth == 0 {
			return i, spaced, reason
		}
		i = skip(i + 1) // past the comma
		if n.inObject() {
			if i, reason = scanKey(src, i, skip); reason != "" {
				return i, spaced, reason
			}
		}
	}
}

// closeContainers consumes closing brackets until a comma or until the
// outermost container is closed.
func closeContainers(src []byte, i int, n *nesting, skip func(int) int) (int, string) {
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
			i = skip(i + 1)
		default:
			return i, expected(src, i, "',' or '"+string(want)+"'")
		}
	}
}

func scanKey(src []byte, i int, skip func(int) int) (int, string) {
	if at(src, i) != '"' {
		return i, expected(src, i, "a field name")
	}
	i, reason := scanString(src, i)
	if reason != "" {
		return i, reason
	}
	if i = skip(i); at(src, i) != ':' {
		return i, expected(src, i, "':'")
	}
	return skip(i + 1), ""
}

func scanScalar(src []byte, i int) (int, string) {
	switch c := at(src, i); {
	case c == '"':
		return scanString(src, i)
	case c == '-' || isDigit(c):
		return scanNumber(src, i)
	case c == 't':
		return scanWord(src, i, "true")
	case c == 'f':
		return scanWord(src, i, "false")
	case c == 'n':
		return scanWord(src, i, "null")
	}
	return i, expected(src, i, "a value")
}

func scanWord(src []byte, i int, word string) (int, string) {
	if len(src)-i < len(word) || string(src[i:i+len(word)]) != word {
		return i, expected(src, i, "a value")
	}
	return i + len(word), ""
}

func scanNumber(src []byte, i int) (int, string) {
	if src[i] == '-' {
		i++
	}
	switch c := at(src, i); {
	case c == '0':
		i++
	case isDigit(c):
		i = skipDigits(src, i)
	default:
		return i, expected(src, i, "a digit")
	}
	if at(src, i) == '.' {
		if i++; !isDigit(at(src, i)) {
			return i, expected(src, i, "a digit")
		}
		i = skipDigits(src, i)
	}
	if at(src, i)|0x20 == 'e' {
		if i++; at(src, i) == '+' || at(src, i) == '-' {
			i++
		}
		if !isDigit(at(src, i)) {
			return i, expected(src, i, "a digit")
		}
		i = skipDigits(src, i)
	}
	return i, ""
}

// scanString validates the string that begins at src[i] and returns the index
// after its closing quote.
func scanString(src []byte, i int) (int, string) {
	i++
	for i < len(src) {
		c := src[i]
		if plain[c] {
			i++
			continue
		}
		switch {
		case c == '"':
			return i + 1, ""
		case c == '\\':
			n := escapeLength(src[i:])
			if n == 0 {
				return i, "invalid escape"
			}
			i += n
		case c < 0x20:
			return i, "control character in a string"
		default:
			r, size := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && size == 1 {
				return i, "invalid UTF-8"
			}
			i += size
		}
	}
	return i, "unexpected end"
}

// escapeLength is the length of the escape that b begins with, 0 when it is
// none.
func escapeLength(b []byte) int {
	switch at(b, 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

// plain marks the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func expected(src []byte, i int, what string) string {
	if i >= len(src) {
		return "unexpected end"
	}
	return "expected " + what
}
