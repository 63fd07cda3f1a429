package datadir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func TestCheckLogDirectory(t *testing.T) {
	escapes, inUse := protocol.CodeDirectoryEscapes.Number, protocol.CodeDirectoryInUse.Number
	tests := map[string]struct {
		rel      string
		existing []string
		want     int // error number, 0 for none
	}{
		"a name":                           {"default", nil, 0},
		"a path":                           {"a/b/c", nil, 0},
		"beside others":                    {"a/c", []string{"a/b", "b"}, 0},
		"a common beginning is no nesting": {"ab", []string{"a", "abc"}, 0},
		"dots in a name":                   {"..a", []string{"a"}, 0},
		"UTF-8":                            {"øre", nil, 0},
		"spaces":                           {"my logs", nil, 0},
		"a real directory":                 {"real/new", nil, 0},
		"a link within":                    {"inner/new", nil, 0},

		"empty":                {"", nil, escapes},
		"absolute":             {"/etc", nil, escapes},
		"the directory itself": {".", nil, escapes},
		"up":                   {"..", nil, escapes},
		"up and down":          {"../data", nil, escapes},
		"up in the middle":     {"a/../../b", nil, escapes},
		"harmless up":          {"a/../b", nil, escapes},
		"empty component":      {"a//b", nil, escapes},
		"trailing slash":       {"a/", nil, escapes},
		"dot component":        {"a/./b", nil, escapes},
		"NUL":                  {"a\x00b", nil, escapes},
		"newline":              {"a\nb", nil, escapes},
		"backslash":            {`a\..\b`, nil, escapes},
		"not UTF-8":            {"a\xff", nil, escapes},
		"too deep":             {"1/2/3/4/5/6/7/8/9", nil, escapes},
		"long component":       {strings.Repeat("a", 201), nil, escapes},
		"long path":            {strings.Repeat(strings.Repeat("a", 199)+"/", 5) + strings.Repeat("a", 199), nil, escapes},
		"our lock":             {"LOCK", nil, escapes},
		"our manifest":         {"cluster.json", nil, escapes},
		"our manifest, folded": {"Cluster.JSON", nil, escapes},
		"our ledger, deep":     {"a/ledger.json", nil, escapes},
		"a link out":           {"outer", nil, escapes},
		"below a link out":     {"outer/a", nil, escapes},
		"a dangling link":      {"dangling/a", nil, escapes},
		"a link to the root":   {"self", nil, escapes},
		"a file in the way":    {"file", nil, escapes},
		"below a file":         {"file/a", nil, escapes},

		"equal":                 {"a/b", []string{"a/b"}, inUse},
		"inside":                {"a/b/c", []string{"a/b"}, inUse},
		"around":                {"a", []string{"a/b"}, inUse},
		"equal through a link":  {"inner", []string{"real"}, inUse},
		"inside through a link": {"inner/x", []string{"real"}, inUse},
		"other is the link":     {"real/x", []string{"inner"}, inUse},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			outside, dir := t.TempDir(), t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
			for link, to := range map[string]string{"inner": "real", "outer": outside, "dangling": "nowhere", "self": "."} {
				require.NoError(t, os.Symlink(to, filepath.Join(dir, link)))
			}
			err := CheckLogDirectory(dir, tt.rel, tt.existing)
			if tt.want == 0 {
				require.Nil(t, err)
				return
			}
			require.NotNil(t, err)
			assert.Equal(t, tt.want, err.Code.Number, err.Message)
		})
	}
}
