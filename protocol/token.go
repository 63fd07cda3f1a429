package protocol

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"unicode/utf8"
)

// A token is the form of a key or value in a log line and inside the broker. It is
// UTF-8 without any byte below 0x20.
//
//	{"a":1}     compact JSON, verbatim, but never null
//	t"..."      other UTF-8, with the escapes of a JSON string
//	b"..."      anything else, in base64 with padding
//	-           null
//
// Each kind has exactly one token for a sequence of bytes, and decoding it returns
// the same bytes.

// TokenKind is the encoding of a token.
type TokenKind byte

// The kinds of tokens.
const (
	TokenNull  TokenKind = '-'
	TokenJSON  TokenKind = 'j'
	TokenText  TokenKind = 't'
	TokenBytes TokenKind = 'b'
)

// KindOfToken returns the kind of a well-formed token. An empty token counts as
// null.
func KindOfToken(token []byte) TokenKind {
	switch {
	case len(token) == 0 || len(token) == 1 && token[0] == '-':
		return TokenNull
	case len(token) > 1 && token[1] == '"' && token[0] == 't':
		return TokenText
	case len(token) > 1 && token[1] == '"' && token[0] == 'b':
		return TokenBytes
	}
	return TokenJSON
}

// AppendJSONToken appends the token of a valid, compact JSON value.
func AppendJSONToken(dst, json []byte) []byte {
	if string(json) == "null" {
		return append(dst, NullToken...)
	}
	return append(dst, json...)
}

// AppendTextToken appends the token of a text. The text must be UTF-8.
func AppendTextToken[S ~string | ~[]byte](dst []byte, text S) []byte {
	return AppendJSONString(append(dst, 't'), text)
}

// AppendBytesToken appends the token of bytes that are not UTF-8.
func AppendBytesToken(dst, b []byte) []byte {
	dst = append(dst, 'b', '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// AppendRawToken appends the token of arbitrary bytes: text if they are UTF-8, else
// base64. They are never treated as JSON.
func AppendRawToken(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return AppendTextToken(dst, b)
	}
	return AppendBytesToken(dst, b)
}

// TokenString is the JSON string inside a text or bytes token, quotes
// included: text, or base64. It aliases the token.
func TokenString(token []byte) []byte { return token[1:] }

// AppendTokenContent appends the content of a token: the JSON text, the text or the
// bytes; nothing for null. It returns an error if the token is malformed.
func AppendTokenContent(dst, token []byte) ([]byte, error) {
	switch KindOfToken(token) {
	case TokenNull:
		return dst, nil
	case TokenText:
		if end, _, reason := scanString(token, 1); reason != "" || end != len(token) {
			return dst, fmt.Errorf("malformed text token %.40q", token)
		}
		dst, _ = AppendUnescaped(dst, token[2:len(token)-1])
		return dst, nil
	case TokenBytes:
		if token[len(token)-1] != '"' || len(token) < 3 || bytes.ContainsAny(token, "\r\n") { // which base64 skips
			return dst, fmt.Errorf("malformed bytes token %.40q", token)
		}
		out, err := base64.StdEncoding.Strict().AppendDecode(dst, token[2:len(token)-1])
		if err != nil {
			return dst, fmt.Errorf("malformed bytes token %.40q: %w", token, err)
		}
		return out, nil
	}
	r := NewJSONReader(token)
	if v, ok := r.Value(); !ok || r.End() != nil || v.Spaced || !bytes.Equal(v.Raw, token) {
		return dst, fmt.Errorf("malformed JSON token %.40q", token)
	}
	return append(dst, token...), nil
}
