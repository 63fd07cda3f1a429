package protocol

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// scalar validates the string, number or literal that begins at src[i]. It
// returns the index after it, or where and why it is invalid.
func (f *valueFacts) scalar(src []byte, i int) (int, string) {
	switch c := at(src, i); {
	case c == '"':
		end, escape, reason := scanString(src, i)
		f.escape = f.escape || escape
		return end, reason
	case c == '-' || isDigit(c):
		end, digits, reason := scanNumber(src, i)
		if reason == "" {
			f.Digits = max(f.Digits, digits)
		}
		return end, reason
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

// scanNumber validates the number that begins at src[i]. It returns the index after
// it and how many digits it has, exponent included.
func scanNumber(src []byte, i int) (end int, digits int32, reason string) {
	start, others := i, 0
	if src[i] == '-' {
		i++
		others++
	}
	switch c := at(src, i); {
	case c == '0':
		i++
	case isDigit(c):
		i = skipDigits(src, i)
	default:
		return i, 0, expected(src, i, "a digit")
	}
	if at(src, i) == '.' {
		if i++; !isDigit(at(src, i)) {
			return i, 0, expected(src, i, "a digit")
		}
		i = skipDigits(src, i)
		others++
	}
	if at(src, i)|0x20 == 'e' {
		others++
		if i++; at(src, i) == '+' || at(src, i) == '-' {
			i++
			others++
		}
		if !isDigit(at(src, i)) {
			return i, 0, expected(src, i, "a digit")
		}
		i = skipDigits(src, i)
	}
	return i, int32(i - start - others), ""
}

// scanString validates the string that begins at src[i]. It returns the index
// after its closing quote, and whether it has an escape.
func scanString(src []byte, i int) (end int, escape bool, reason string) {
	for i = skipPlain(src, i+1); i < len(src); i = skipPlain(src, i) {
		switch c := src[i]; {
		case c == '"':
			return i + 1, escape, ""
		case c == '\\':
			n := escapeLength(src[i:])
			if n == 0 {
				return i, escape, "invalid escape"
			}
			i += n
			escape = true
		case c < 0x20:
			return i, escape, "control character in a string"
		default:
			if i, reason = skipRunes(src, i); reason != "" {
				return i, escape, reason
			}
		}
	}
	return i, escape, "unexpected end"
}

// skipRunes returns the index after the runes beyond ASCII that begin at src[i].
func skipRunes(src []byte, i int) (int, string) {
	for i < len(src) && src[i] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && size == 1 {
			return i, "invalid UTF-8"
		}
		i += size
	}
	return i, ""
}

// skipPlain returns the index of the first byte from src[i] on that is not plain,
// len(src) if there is none. It looks at eight bytes at a time: the lowest of them
// that is not plain gets the lowest bit that is left.
func skipPlain(src []byte, i int) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for i+8 <= len(src) {
		w := binary.LittleEndian.Uint64(src[i:])
		quote, backslash := w^('"'*each), w^('\\'*each)
		if special := ((w - ' '*each) | (quote - each) | (backslash - each) | w) & high; special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
		i += 8
	}
	for i < len(src) && plain[src[i]] {
		i++
	}
	return i
}

// escapeLength is the length of the escape at the beginning of b, 0 if it is
// invalid.
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

// plain is true for bytes that need no escape in a string.
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
