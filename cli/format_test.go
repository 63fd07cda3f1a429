package cli

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

func TestFormats(t *testing.T) {
	m := &client.Message{Topic: "t", Partition: 2, Offset: 7, Key: client.StringData("k\n"), Value: client.JSONData([]byte(`{"a":1}`))}
	for _, c := range []struct {
		keys, values bool
		format, want string
	}{
		{false, true, "", `{"a":1}` + "\n"},
		{true, false, "", "k\n\n"},
		{true, true, "", "k\n\t" + `{"a":1}` + "\n"},
		{false, false, `%t-%p@%o %k=%v %h 100%% \\\n`, `t-2@7 k` + "\n" + `={"a":1} {} 100% \` + "\n"},
	} {
		f, err := newFormatter(c.keys, c.values, c.format)
		require.NoError(t, err)
		assert.Equal(t, c.want, string(f(nil, m)))
	}
	for value, want := range map[*client.Data]string{
		{}:                          "null",
		new(client.TextData("x y")): "x y",
		new(client.BytesData([]byte("\xff\x00"))): "\xff\x00",
		new(client.JSONData([]byte(`"a\u00e9"`))): "aé",
		new(client.JSONData([]byte(`[1]`))):       "[1]",
	} {
		assert.Equal(t, want, string(appendContent(nil, value)))
	}
	for _, bad := range []string{"%x", "a%", `\q`, `\`} {
		_, err := newFormatter(false, false, bad)
		var usage usageError
		assert.ErrorAs(t, err, &usage, bad)
	}
	_, err := newFormatter(true, false, "%k")
	assert.Error(t, err)
}

// On a terminal nothing that a producer has sent may move the cursor, change the
// title or turn the line round.
func TestWhatIsNotPrintableIsEscapedOnATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"a\tb é 😀\n": "a\tb é 😀\n", "\x1b[2J": `\u001b[2J`, "\x7f": `\u007f`, "\u009b1m": `\u009b1m`, "\u009d0;x\a": `\u009d0;x\u0007`,
		"\u202eabc\u2066": `\u202eabc\u2066`, "\r": `\u000d`, "\u2028": `\u2028`, "\xff": `\xff`, "\U000e0001": `\udb40\udc01`,
	} {
		assert.Equal(t, want, string(appendVisible(nil, []byte(text))))
	}
	text := "é\u009b😀\u202e\xff\xe2x"
	for size := 1; size < len(text); size++ { // characters may be split between writes
		var out bytes.Buffer
		w := &visibleWriter{w: &out}
		for rest := []byte(text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			n, err := w.Write(rest[:min(size, len(rest))])
			require.NoError(t, err)
			assert.Equal(t, min(size, len(rest)), n)
		}
		assert.Equal(t, `é\u009b😀\u202e\xff\xe2x`, out.String())
	}
	assert.Equal(t, "????", printable("\x1b\u009b\u202e\u2066"))
}
