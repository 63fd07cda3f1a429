package protocol

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string and escapes only what JSON requires.
// Bytes that are not UTF-8 become U+FFFD.
func AppendJSONString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := decodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
			start = i + 1
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func decodeRune[S ~string | ~[]byte](s S) (rune, int) {
	return utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// AppendUnescaped appends the content of a valid JSON string, given without its
// quotes. It returns false if an escape is half of a surrogate pair, which UTF-8
// cannot represent; U+FFFD takes its place.
func AppendUnescaped(dst, inner []byte) ([]byte, bool) {
	whole := true
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			start := i
			for i < len(inner) && inner[i] != '\\' {
				i++
			}
			dst = append(dst, inner[start:i]...)
			continue
		}
		if inner[i+1] != 'u' {
			dst = append(dst, unescapeByte(inner[i+1]))
			i += 2
			continue
		}
		r := hexRune(inner[i+2:])
		i += 6
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if at(inner, i) == '\\' && at(inner, i+1) == 'u' {
				low = hexRune(inner[i+2:])
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				whole = false
			} else {
				i += 6
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, whole
}

// HasHalfSurrogate reports whether a string or a name in valid JSON escapes half of
// a surrogate pair: RFC 8259 allows it, but no UTF-8 text can hold it, and many
// readers refuse it or put another character in its place.
func HasHalfSurrogate(json []byte) bool {
	for {
		i := bytes.IndexByte(json, '\\')
		if i < 0 {
			return false
		}
		json = json[i:]
		if json[1] != 'u' {
			json = json[2:]
			continue
		}
		r := hexRune(json[2:])
		json = json[6:]
		if !utf16.IsSurrogate(r) {
			continue
		}
		if at(json, 0) != '\\' || at(json, 1) != 'u' || utf16.DecodeRune(r, hexRune(json[2:])) == utf8.RuneError {
			return true
		}
		json = json[6:]
	}
}

// EscapeLineEnds writes \u2028, \u2029 and \u0085 for these characters in
// buf[from:], which is JSON: its values stay the same, and no reader of lines
// takes the characters for the end of one. It returns the extended buf.
func EscapeLineEnds(buf []byte, from int) []byte {
	first := nextLineEnd(buf[from:])
	if first < 0 {
		return buf
	}
	from += first
	rest := bytes.Clone(buf[from:])
	buf = buf[:from]
	for {
		i := nextLineEnd(rest)
		if i < 0 {
			return append(buf, rest...)
		}
		buf = append(buf, rest[:i]...)
		r, size := utf8.DecodeRune(rest[i:])
		buf = append(buf, '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
		rest = rest[i+size:]
	}
}

// nextLineEnd is the index of the first U+0085, U+2028 or U+2029 in UTF-8; -1 if
// there is none.
func nextLineEnd(b []byte) int {
	first := bytes.Index(b, []byte("\u0085"))
	if first >= 0 {
		b = b[:first]
	}
	const separators = "\u2028" // and U+2029, which differs in the last byte
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(separators[:2]))
		if i < 0 {
			return first
		}
		if at += i; at+2 < len(b) && b[at+2]&^1 == separators[2] {
			return at
		}
	}
}

func unescapeByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hexRune(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		d := c - '0'
		if d > 9 {
			d = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(d)
	}
	return r
}
