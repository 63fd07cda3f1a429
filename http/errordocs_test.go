package http

import (
	"flag"
	"html"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

var update = flag.Bool("update", false, "write docs/errors.md anew")

// The contract, the page /docs and docs/errors.md name the codes that there are,
// and say the same about each.
func TestDocumentsHaveEveryErrorCode(t *testing.T) {
	const page = "../docs/errors.md"
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(errorsPage()), 0o600))
	}
	written, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Equal(t, errorsPage(), string(written), "go test ./http -run ErrorCode -update writes %s anew", page)

	doc, err := theContract()
	require.NoError(t, err)
	var names []any
	served := start(t, Options{}).do("GET", "/docs", "").body
	for _, c := range protocol.Codes {
		names = append(names, c.Name)
		assert.Contains(t, served, `id="error-`+c.Name+`"`)
		for _, text := range []string{c.Explanation().Happened, c.Explanation().Do} {
			assert.Contains(t, html.UnescapeString(served), text)
			assert.Contains(t, string(written), text)
		}
	}
	assert.ElementsMatch(t, names, doc.Components.Schemas["Error"].Value.Properties["code"].Value.Enum)
	for name, r := range doc.Components.Responses {
		assert.NotContains(t, *r.Value.Description, "${", name)
	}
	assert.Contains(t, *doc.Components.Responses["E409"].Value.Description, "`stale_generation`")
	assert.Equal(t, 1, strings.Count(string(written), "| `stale_generation` |"))
}
