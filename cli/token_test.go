package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// noting is a server that notes what it is shown, and lists no topics.
func noting(t *testing.T) (url string, shown *[]string) {
	t.Helper()
	shown = &[]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*shown = append(*shown, r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"topics":[]}`))
	}))
	t.Cleanup(s.Close)
	return s.URL, shown
}

func TestRotateAToken(t *testing.T) {
	for args, body := range map[string]string{
		"token rotate a":              `{"overlap_ms":86400000}`,
		"token rotate a --overlap 1h": `{"overlap_ms":3600000}`,
		"token rotate a --overlap 0":  `{"overlap_ms":0}`,
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return 200, `{"name":"a","token":"ottla_x"}` })
		code, stdout, stderr := s.ottla(t, "", strings.Fields(args)...)
		require.Equal(t, exitOK, code, stderr)
		assert.Equal(t, "ottla_x\n", stdout)
		require.Len(t, s.asked, 1)
		assert.Equal(t, "POST /tokens/a/rotate", s.asked[0].line)
		assert.JSONEq(t, body, s.asked[0].body)
	}
}

// In whatever way a token is given, it is shown; what is kept for one server is not
// shown to another.
func TestTokensOfCommands(t *testing.T) {
	url, shown := noting(t)
	home := t.TempDir()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("of-the-file\n"), 0o600))
	try := func(env map[string]string, stdin string, args ...string) (code int, out, errs string) {
		p, stdout, stderr, _ := testProcess(t, nil)
		p.stdin = strings.NewReader(stdin)
		p.lookupEnv = func(name string) (string, bool) {
			text, found := env[name]
			if name == "HOME" {
				return home, true
			}
			return text, found
		}
		*shown = nil
		code = run(p, args)
		return code, stdout.String(), stderr.String()
	}
	none := map[string]string{}
	list := []string{"topic", "list", "--server", url}
	for want, c := range map[string]struct {
		env   map[string]string
		stdin string
		flags []string
	}{
		"":                   {none, "", nil},
		"Bearer of-the-flag": {map[string]string{"OTTLA_TOKEN": "x"}, "", []string{"--token", "of-the-flag"}},
		"Bearer of-the-file": {map[string]string{"OTTLA_TOKEN": "x"}, "", []string{"--token-file", file}},
		"Bearer of-stdin":    {none, "of-stdin\n", []string{"--token-file", "-"}},
		"Bearer of-the-env":  {map[string]string{"OTTLA_TOKEN": "of-the-env"}, "", nil},
	} {
		code, _, errs := try(c.env, c.stdin, append(append([]string{}, list...), c.flags...)...)
		assert.Zero(t, code, errs)
		assert.Equal(t, []string{want}, *shown)
	}
	try(map[string]string{"OTTLA_TOKEN_FILE": file}, "", list...)
	assert.Equal(t, []string{"Bearer of-the-file"}, *shown)

	code, out, errs := try(none, "of-the-context\n", "context", "add", "a", "--server", url, "--token-file", "-")
	require.Zero(t, code, errs)
	assert.NotContains(t, out+errs, "of-the-context")
	path := filepath.Join(home, ".config", "ottla", "contexts.json")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	try(none, "", "topic", "list")
	assert.Equal(t, []string{"Bearer of-the-context"}, *shown)
	try(map[string]string{"OTTLA_TOKEN": "mine"}, "", "topic", "list")
	assert.Equal(t, []string{"Bearer mine"}, *shown)

	other, shownToOther := noting(t)
	try(none, "", "topic", "list", "--server", other)
	try(map[string]string{"OTTLA_SERVER": other}, "", "topic", "list")
	assert.Equal(t, []string{"", ""}, *shownToOther, "the token of one server is not sent to another")

	code, _, errs = try(none, "", "context", "add", "b", "--server", other, "--token-file", file)
	require.Zero(t, code, errs)
	_, out, _ = try(none, "", "context", "list")
	assert.NotContains(t, out, "of-the")
	assert.Regexp(t, `(?m)^-\s+a\s.*kept\n\*\s+b\s+`+other+`\s+`+file, out)
	*shownToOther = nil
	try(none, "", "topic", "list")
	assert.Equal(t, []string{"Bearer of-the-file"}, *shownToOther)
	try(none, "", "topic", "list", "--context", "a")
	assert.Equal(t, []string{"Bearer of-the-context"}, *shown)
	try(map[string]string{"OTTLA_CONTEXT": "a"}, "", "topic", "list")
	assert.Equal(t, []string{"Bearer of-the-context"}, *shown)
	for _, args := range [][]string{{"context", "use", "a"}, {"context", "remove", "b"}} {
		code, _, errs = try(none, "", args...)
		assert.Zero(t, code, errs)
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Contains(t, string(text), `"current": "a"`)
	assert.NotContains(t, string(text), other)

	for _, args := range [][]string{
		{"context", "use", "b"},
		{"context", "remove", "b"},
		{"topic", "list", "--context", "b"},
		{"context", "add", "c"},
		{"context", "add", "a b", "--server", url},
		{"context", "add", "c", "--server", "ftp://x"},
		{"context", "add", "c", "--server", url, "--token-file", file + ".missing"},
		{"topic", "list", "--context", "a", "--server", url},
		append(list, "--token", "x", "--token-file", file), append(list, "--token", "a b"), append(list, "--token-file", file+".missing"),
	} {
		code, out, errs := try(none, "", args...)
		assert.NotZero(t, code, args)
		assert.NotEmpty(t, errs)
		assert.NotContains(t, out+errs, "of-the")
		assert.Empty(t, *shown, args)
	}
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	code, _, errs = try(none, "", "topic", "list")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errs, "damaged")
}

func TestGrantsOfTheCommandLine(t *testing.T) {
	g, err := parseGrant("read,write  topics=a.*   groups=g cluster=c")
	require.NoError(t, err)
	assert.Equal(t, protocol.Grant{Do: []string{"read", "write"}, Topics: "a.*", Groups: "g", Cluster: "c"}, g)
	for _, bad := range []string{"", "read topic=a", "read topics=", "read topics=a topics=b", "read x", "read,write:orders", "topics=a"} {
		_, err := parseGrant(bad)
		assert.Error(t, err, bad)
	}
	quota, err := parseQuota([]string{"requests_per_s=100", "produce_bytes_per_s=1MiB"})
	require.NoError(t, err)
	assert.Equal(t, map[string]sizeFlag{"requests_per_s": 100, "produce_bytes_per_s": 1 << 20}, quota)
	quota, err = parseQuota([]string{"none"})
	assert.NoError(t, err)
	assert.Nil(t, quota)
	for _, bad := range []string{"", "requests_per_s", "=1", "requests_per_s=many"} {
		_, err := parseQuota([]string{bad})
		assert.Error(t, err, bad)
	}
	assert.Equal(t, "requests_per_s=5 partitions=7", quotaText(&protocol.TokenQuota{Requests: 5, Partitions: 7}))
	now := time.UnixMilli(1795367763123).UTC()
	for text, want := range map[string]any{
		"never": nil, "30d": "2026-12-22T17:16:03Z", "12h": "2026-11-23T05:16:03Z", "2027-01-31T12:00:00+01:00": "2027-01-31T11:00:00Z",
	} {
		var f tokenFlags
		cmd := newTokenAlter(&remote{})
		require.NoError(t, cmd.Flags().Set("expires", text))
		f.expires = text
		fields, err := f.fields(cmd, now)
		require.NoError(t, err)
		assert.Equal(t, map[string]any{"expires_at": want}, fields, text)
	}
	cmd := newTokenAlter(&remote{})
	require.NoError(t, cmd.Flags().Set("expires", "soon"))
	_, err = (&tokenFlags{expires: "soon"}).fields(cmd, now)
	assert.Error(t, err)
}
