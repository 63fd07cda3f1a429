package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const shipped = "../config.yaml"

func TestShippedFileSpellsOutTheDefaults(t *testing.T) {
	c, err := Load(shipped)
	require.NoError(t, err)
	assert.Equal(t, Default(), c)
	assert.NoError(t, c.Validate())
}

func TestShippedFileHasEveryKeyWithAComment(t *testing.T) {
	data, err := os.ReadFile(shipped)
	require.NoError(t, err)
	lines := strings.Split(string(data), "\n")
	documented := map[string]bool{}
	keyLine := regexp.MustCompile(`^((?:  ){0,2})([a-z_]+):`)
	var within []string // the sections of the line
	for i, line := range lines {
		m := keyLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		within = append(within[:len(m[1])/2], m[2])
		path := strings.Join(within, ".")
		documented[path] = i > 0 && strings.HasPrefix(strings.TrimSpace(lines[i-1]), "# ")
	}
	for _, key := range Keys() {
		assert.True(t, documented[key], "config.yaml must have %s with a comment above it", key)
	}
}

func TestRenderedConfigurationReadsBack(t *testing.T) {
	c := Default()
	c.Limits.RecordBytes = 1500
	c.Polls.Timeout = Duration(1500 * time.Millisecond)
	c.Log.Levels = Levels{"http": "debug", "actors": "warn"}
	out, err := c.YAML()
	require.NoError(t, err)
	back, err := Parse(out)
	require.NoError(t, err)
	assert.Equal(t, c, back)
}

func TestParseKeepsDefaultsOfWhatIsNotSaid(t *testing.T) {
	tests := []struct{ name, yaml string }{
		{"empty", ""},
		{"only a comment", "# nothing\n"},
		{"empty document", "---\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse([]byte(tt.yaml))
			require.NoError(t, err)
			assert.Equal(t, Default(), c)
		})
	}
	c, err := Parse([]byte("limits: {max_records: 7}\nauto_create_topics: false\n"))
	require.NoError(t, err)
	want := Default()
	want.Limits.MaxRecords = 7
	want.AutoCreateTopics = false
	assert.Equal(t, want, c)
}

// The first line of each file in testdata has, after "# want: ", the error that is
// expected.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			first, _, _ := strings.Cut(string(data), "\n")
			want, ok := strings.CutPrefix(first, "# want: ")
			require.True(t, ok, "first line must be '# want: ...'")
			c, err := Load(file)
			if err == nil {
				err = c.Validate()
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), want)
		})
	}
}

func TestLoadNamesTheMissingFile(t *testing.T) {
	_, err := Load("testdata/none.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Contains(t, err.Error(), "none.yaml")
}

func TestAllErrorsOfAFileAreReported(t *testing.T) {
	_, err := Parse([]byte("listen: [1]\nlimits: {nope: 1}\nraft: 3\n"))
	require.Error(t, err)
	assert.Equal(t, []string{
		"line 1: key listen must have a single value",
		"line 2: unknown key limits.nope",
		"line 3: key raft must be a mapping of keys to values",
	}, strings.Split(err.Error(), "\n"))
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(shipped)
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("limits: &l {<<: *l}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil || c.Validate() != nil {
			return
		}
		out, err := c.YAML()
		require.NoError(t, err)
		back, err := Parse(out)
		require.NoError(t, err)
		require.Equal(t, c, back)
	})
}

// FuzzUnits: an accepted duration, size or list of levels does not change when it is
// written and parsed again.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{
		"10s", "1m30s", "100ms", "0s", "-1h", "1h0m0s", "0.5us", "2562047h47m16.854775807s", "16MiB", "1GiB", "-1KiB", "8589934592GiB",
		"1000", "+1", "actors=debug,http=warn", "a=b, c=d", "", "a=",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil && d != 0 {
			back, err := ParseDuration(d.String())
			require.NoError(t, err)
			require.Equal(t, d, back)
		}
		if b, err := ParseBytes(s); err == nil {
			back, err := ParseBytes(b.String())
			require.NoError(t, err)
			require.Equal(t, b, back)
		}
		if l, err := ParseLevels(s); err == nil {
			pairs := make([]string, 0, len(l))
			for name, level := range l {
				pairs = append(pairs, name+"="+level)
			}
			back, err := ParseLevels(strings.Join(pairs, ","))
			require.NoError(t, err)
			require.Equal(t, l, back)
		}
	})
}
