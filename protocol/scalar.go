package protocol

import "unicode/utf8"

// scanScalar validates the string, number or literal that begins at src[i]. It
// returns the index after it, or where and why it is invalid.
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
