package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxBytes is what all of the page may take on its way, compressed.
const maxBytes = 150 << 10

func TestFilesOfThePage(t *testing.T) {
	sum := 0
	for _, name := range []string{Index, "app.js", "app.css", "icon.svg"} {
		f, err := Open(name)
		require.NoError(t, err)
		require.NotNil(t, f, name)
		assert.NotEmpty(t, f.Type, name)
		assert.Regexp(t, `^"[\w-]{16}"$`, f.ETag)
		r, err := gzip.NewReader(bytes.NewReader(f.Gzip))
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(f.Content, text), name)
		sum += len(f.Gzip)
	}
	assert.Less(t, sum, maxBytes)
	f, err := Open("app.ts")
	require.NoError(t, err)
	assert.Nil(t, f)
}

// The page asks nobody but its server: no address of another is in it, but for those
// that name things.
func TestThePageNamesNoOtherServer(t *testing.T) {
	for _, name := range []string{Index, "app.js", "app.css"} {
		f, err := Open(name)
		require.NoError(t, err)
		text := string(f.Content)
		for _, known := range []string{"http://www.w3.org/", "https://github.com/leeoniya/uPlot"} {
			text = strings.ReplaceAll(text, known, "")
		}
		for _, foreign := range []string{"http://", "https://", "@import", "eval(", "innerHTML=\"<"} {
			assert.NotContains(t, text, foreign, name)
		}
	}
}
