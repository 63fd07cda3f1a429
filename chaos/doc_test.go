package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The package comment says what every campaign does and what every kind of
// violation means.
func TestDocIsComplete(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	doc := string(text)
	for _, c := range campaigns {
		assert.Regexp(t, `(?m)^//\t`+c.name+` +\S`, doc, "campaign %s", c.name)
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	raised := regexp.MustCompile(`violation\{+"([a-z ]+)"|violate\("([a-z ]+)"`)
	kinds := 0
	for _, path := range files {
		src, err := os.ReadFile(path)
		require.NoError(t, err)
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, m := range raised.FindAllStringSubmatch(string(src), -1) {
			kinds++
			assert.Regexp(t, `(?m)^//\t([a-z ]+, )*`+m[1]+m[2]+`(, [a-z ]+)* +\S`, doc, "%s raises it", path)
		}
	}
	assert.Greater(t, kinds, 20)
}
