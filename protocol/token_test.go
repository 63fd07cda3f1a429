package protocol

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// naughty are contents that could break the lines of a log.
var naughty = map[string]string{
	"empty": "", "newline": "a\nb", "carriage return": "a\r\nb", "NUL": "a\x00b", "all controls": "\x01\x1f\x7f\t\b\f",
	"forged frame": "x\n#f 1 2 3\n", "forged line": "\n2026-11-22 17:16:03.123 liked 0 42 - 1 PRODUCE\n",
	"quotes": `"\"\\`, "dash": "-", "null": "null", "json": `{"a": 1}`, "text token": `t"x"`, "bytes token": `b"eA=="`,
	"invalid UTF-8": "\xff\xfe", "cut rune": "a\xe2\x82", "rune": "Ã€😀\u2028", "hash": "#f", "long": strings.Repeat("é\n", 5000),
}

func TestRawTokenRoundTrip(t *testing.T) {
	for name, content := range naughty {
		t.Run(name, func(t *testing.T) {
			token := AppendRawToken(nil, []byte(content))
			assertTokenIsLineSafe(t, token)
			want := TokenText
			if !utf8.ValidString(content) {
				want = TokenBytes
			}
			assert.Equal(t, want, KindOfToken(token))
			back, err := AppendTokenContent(nil, token)
			require.NoError(t, err)
			assert.Equal(t, content, string(back))
		})
	}
}

func assertTokenIsLineSafe(t *testing.T, token []byte) {
	t.Helper()
	assert.True(t, utf8.Valid(token))
	assert.Equal(t, -1, bytes.IndexFunc(token, func(r rune) bool { return r < 0x20 }))
	assert.NotEqual(t, byte('#'), token[0])
}

func TestTokens(t *testing.T) {
	for name, c := range map[string]struct {
		token   []byte
		want    string
		kind    TokenKind
		content string
	}{
		"object":      {AppendJSONToken(nil, []byte(`{"a":1}`)), `{"a":1}`, TokenJSON, `{"a":1}`},
		"true":        {AppendJSONToken(nil, []byte(`true`)), `true`, TokenJSON, `true`},
		"minus one":   {AppendJSONToken(nil, []byte(`-1`)), `-1`, TokenJSON, `-1`},
		"JSON string": {AppendJSONToken(nil, []byte(`"x y"`)), `"x y"`, TokenJSON, `"x y"`},
		"null":        {AppendJSONToken(nil, []byte(`null`)), `-`, TokenNull, ``},
		"text":        {AppendTextToken(nil, "a \"b\"\n"), `t"a \"b\"\n"`, TokenText, "a \"b\"\n"},
		"bytes":       {AppendBytesToken(nil, []byte{0xff}), `b"/w=="`, TokenBytes, "\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, string(c.token))
			assert.Equal(t, c.kind, KindOfToken(c.token))
			content, err := AppendTokenContent(nil, c.token)
			require.NoError(t, err)
			assert.Equal(t, c.content, string(content))
		})
	}
}

func TestMalformedTokens(t *testing.T) {
	for _, token := range []string{
		`t"`, `t"a`, `t"a"b`, `t"\q"`, `b"`, `b"a`, `b"a"`, `b"a\n=="`, `b"/x=="`, `{"a": 1}`, `{`, `x`, `1 `, `--`,
	} {
		t.Run(token, func(t *testing.T) {
			_, err := AppendTokenContent(nil, []byte(token))
			assert.ErrorContains(t, err, "malformed")
		})
	}
}

func FuzzTokens(f *testing.F) {
	for _, s := range naughty {
		f.Add([]byte(s))
	}
	f.Add([]byte("b\"A\rA==\""))
	f.Fuzz(func(t *testing.T, content []byte) {
		token := AppendRawToken(nil, content)
		assertTokenIsLineSafe(t, token)
		back, err := AppendTokenContent(nil, token)
		if err != nil || !bytes.Equal(back, content) {
			t.Fatalf("%q -> %q -> %q (%v)", content, token, back, err)
		}
		if utf8.Valid(content) {
			var text string
			if err := json.Unmarshal(TokenString(token), &text); err != nil || text != string(content) {
				t.Fatalf("%q reads as %q (%v)", token, text, err)
			}
		}
		// Any token may come from a file: there is no panic, and bytes have one token.
		if back, err := AppendTokenContent(nil, content); err == nil && KindOfToken(content) == TokenBytes {
			assert.Equal(t, string(content), string(AppendBytesToken(nil, back)))
		}
		if len(content) > 0 {
			assert.Less(t, PartitionForKey(token, 7), 7)
		}
	})
}

func TestUnescape(t *testing.T) {
	for name, c := range map[string]struct {
		in, want string
		whole    bool
	}{
		"plain":          {`abc`, "abc", true},
		"short escapes":  {`\"\\\/\b\f\n\r\t`, "\"\\/\b\f\n\r\t", true},
		"unicode":        {`\u00e9\u20AC\u0000`, "é€\x00", true},
		"pair":           {`\ud83d\ude00!`, "😀!", true},
		"high alone":     {`\ud83d!`, "\ufffd!", false},
		"low alone":      {`\ude00`, "\ufffd", false},
		"high then char": {`\ud83d\u0041`, "\ufffdA", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, whole := AppendUnescaped(nil, []byte(c.in))
			assert.Equal(t, c.want, string(got))
			assert.Equal(t, c.whole, whole)
			var std string
			require.NoError(t, json.Unmarshal([]byte(`"`+c.in+`"`), &std))
			assert.Equal(t, std, string(got))
		})
	}
}
