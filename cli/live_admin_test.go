package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/config"
	"ottla/link/linktest"
)

// A backup is made, listed, read against its checksums and restored; damage and what is
// there already are said.
func TestBackupsOfALiveServer(t *testing.T) {
	s := solo(t, nil)
	s.must(t, "", "consume", "t", "--group", "g")
	dir := filepath.Join(t.TempDir(), "backup")
	assert.Regexp(t, `^backup 1 of cluster solo is complete: \d topics?, 20 records, `, s.must(t, "", "backup", "create", dir, "--cluster", "solo", "--topic", "t"))
	s.must(t, "21\n", "produce", "t", "--partition", "0")
	assert.Regexp(t, `^backup 2 of cluster solo is complete: \d topics?, 21 records, `, s.must(t, "", "backup", "create", dir, "--cluster", "solo", "--topic", "t"))
	rows := strings.Split(strings.TrimSpace(s.must(t, "", "backup", "list", dir)), "\n")
	require.Len(t, rows, 3)
	assert.Equal(t, []string{"NUMBER", "CLUSTER", "TOPICS", "RECORDS", "BYTES", "ENDED"}, strings.Fields(rows[0]))
	assert.Regexp(t, `^1 +solo +1 +20 `, rows[1])
	assert.Regexp(t, `^2 +solo +1 +21 `, rows[2])
	assert.Equal(t, "backup 2 of cluster solo is intact: 21 records\n", s.must(t, "", "backup", "verify", dir))
	assert.Equal(t, "backup 1 of cluster solo is intact: 20 records\n", s.must(t, "", "backup", "verify", dir, "--number", "1"))

	code, stdout, stderr := s.ottla(t, "", "restore", dir)
	assert.Equal(t, exitFailed, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "topic_exists")
	assert.Contains(t, stderr, "restore only the topics that are missing with --topic, or all under other names with --prefix")
	assert.Equal(t, "backup 1 is restored\n", s.must(t, "", "restore", dir, "--number", "1", "--topic", "t=again"))
	read := func(topic string) string {
		return s.must(t, "", "consume", topic, "--offset", "0", "--format", `%p %o %k %v %T %h\n`)
	}
	assert.Equal(t, strings.Count(read("t"), "\n")-1, strings.Count(read("again"), "\n"))
	for _, line := range strings.Split(strings.TrimSpace(read("again")), "\n") {
		assert.Contains(t, read("t"), line+"\n", "as it was")
	}

	require.Equal(t, "backup 2 is restored\n", s.must(t, "", "restore", dir, "--prefix", "old-"))
	assert.Equal(t, read("t"), read("old-t"))
	assert.Contains(t, s.must(t, "", "offset", "list", "--group", "old-g"), "old-t")
	for _, args := range [][]string{{"backup", "verify", dir, "--number", "3"}, {"restore", dir, "--number", "3"}, {"backup", "verify", t.TempDir()}, {"restore", t.TempDir()}} {
		code, stdout, stderr := s.ottla(t, "", args...)
		assert.Equal(t, exitFailed, code, args)
		assert.Empty(t, stdout, args)
		assert.NotEmpty(t, stderr, args)
	}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || strings.HasSuffix(path, ".json") || len(text) == 0 {
			return err
		}
		text[len(text)/2] ^= 1
		return os.WriteFile(path, text, 0o600)
	}))
	code, stdout, _ = s.ottla(t, "", "backup", "verify", dir)
	assert.Equal(t, exitFailed, code, "a bit was flipped")
	assert.Empty(t, stdout)
}

// A server that asks for tokens and takes Kafka clients: the mirror is told what it needs
// to get in, and says what it would copy.
func TestMirrorOfAServerWithTokens(t *testing.T) {
	const secret = "the-administrators-token-0123456789"
	kafka := linktest.FreeAddress(t)
	audit := filepath.Join(t.TempDir(), "audit.log")
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	s, stop := liveServerWith(t, t.TempDir(), map[string]string{
		"OTTLA_AUTH_MODE": "token", "OTTLA_AUTH_ADMIN_TOKEN_FILE": file, "OTTLA_AUDIT_FILE": audit, "OTTLA_KAFKA_LISTEN": kafka, "OTTLA_KAFKA_CLUSTER": "solo",
	})
	token := []string{"--token-file", file}
	must := func(line string, args ...string) string {
		t.Helper()
		return s.must(t, "", append(append(words(line), args...), token...)...)
	}
	code, _, stderr := s.ottla(t, "", "cluster", "list")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "unauthorized")
	must("cluster create solo --num-brokers 1")
	must("cluster create copy --num-brokers 1")
	must("topic create orders --cluster solo --partitions 2")
	s.must(t, "1\n2\n3\n", append(words("produce orders"), token...)...)
	must("consume orders --group billing")

	from := words("mirror --from " + kafka + " --from-user admin --from-password-file " + file + " --retry-for 20s --cluster copy --dry-run")
	for _, mechanism := range []string{"plain"} {
		out := s.must(t, "", append(append(append([]string{}, from...), "--all", "--all-groups", "--from-sasl", mechanism), token...)...)
		assert.Equal(t, "TOPIC   PARTITIONS  TO COPY, ABOUT  TOPIC HERE\norders  2           3               is made\ngroup billing\n", out, mechanism)
	}
	out := s.must(t, "", append(append(append([]string{}, from...), "--topics", "orders", "--output", "json"), token...)...)
	assert.Regexp(t, `^\{"groups":\[\],"topics":\[\{.*orders.*\}\]\}\n$`, out)
	code, _, stderr = s.ottla(t, "", append(append(append([]string{}, from...), "--all", "--from-sasl", "gssapi"), token...)...)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, `"gssapi" is no mechanism of SASL that is known`)

	require.Equal(t, exitOK, stop())
	text, err := os.ReadFile(audit)
	require.NoError(t, err)
	assert.Regexp(t, regexp.MustCompile(`"who":"admin".*"path":"/topic"`), string(text))
	assert.NotContains(t, string(text), secret)
	info, err := os.Stat(audit)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "only its owner reads it")
}

// The options of a mirror that contradict each other, or that nothing can be done with, are
// refused before anybody is asked.
func TestOptionsOfTheMirror(t *testing.T) {
	for line, want := range map[string]string{
		"mirror --all":                                                             "--from must name a broker",
		"mirror --from a:1":                                                        "either --topics or --all must say what is copied",
		"mirror --from a:1 --all --topics t":                                       "either --topics or --all must say what is copied",
		"mirror --from a:1 --all --groups g --all-groups":                          "--groups and --all-groups exclude each other",
		"mirror --from a:1 --all --from-user u":                                    "--from-user and --from-password-file need each other",
		"mirror --from a:1 --all --from-password-file f":                           "--from-user and --from-password-file need each other",
		"mirror --from a --all":                                                    `--from "a" must be HOST:PORT`,
		"mirror --from a:1,b --all":                                                `--from "b" must be HOST:PORT`,
		"mirror --from a:1 --all --from-ca /no/such/file":                          "/no/such/file",
		"mirror --from a:1 --all --from-user u --from-password-file /no/such/file": "--from-password-file: open /no/such/file",
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return 200, `{}` })
		code, stdout, stderr := s.ottla(t, "", words(line)...)
		assert.NotEqual(t, exitOK, code, line)
		assert.Empty(t, stdout, line)
		assert.Contains(t, stderr, want, line)
		assert.Empty(t, s.asked, line)
	}
}

// The first token comes from one place, is one, and is warned of where it is weak.
func TestFirstTokens(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	const good = "0123456789abcdef0123456789abcdef"
	for name, c := range map[string]struct {
		file, env, mode string
		want, err, log  string
	}{
		"none asked for":   {mode: "off"},
		"none there":       {mode: "token", log: "there is no token of an administrator"},
		"of the variable":  {env: good, mode: "token", want: good},
		"with a line end":  {env: good + "\n", mode: "token", want: good},
		"of a file":        {file: file("good", good+"\n", 0o600), mode: "token", want: good},
		"all can read it":  {file: file("open", good, 0o644), mode: "token", want: good, log: "chmod 600"},
		"both":             {file: file("both", good, 0o600), env: good, mode: "token", err: "choose one"},
		"an empty file":    {file: file("empty", " \n", 0o600), mode: "token", err: "is empty"},
		"no such file":     {file: filepath.Join(dir, "no"), mode: "token", err: "auth.admin_token_file: open"},
		"a large file":     {file: file("large", strings.Repeat("x", maxTokenBytes+3), 0o600), mode: "token", err: "it is no token"},
		"the longest":      {env: strings.Repeat("x", maxTokenBytes), mode: "token", want: strings.Repeat("x", maxTokenBytes)},
		"too long":         {env: strings.Repeat("x", maxTokenBytes+1), mode: "token", err: "printable ASCII characters without spaces"},
		"two words":        {env: good + " " + good, mode: "token", err: "printable ASCII characters without spaces"},
		"no ASCII":         {env: good + "ü", mode: "token", err: "printable ASCII characters without spaces"},
		"nobody asks":      {env: good, mode: "off", err: "nobody is asked for one"},
		"short":            {env: strings.Repeat("x", weakTokenBytes-1), mode: "token", want: strings.Repeat("x", weakTokenBytes-1), log: "found by trying"},
		"just long enough": {env: strings.Repeat("x", weakTokenBytes), mode: "token", want: strings.Repeat("x", weakTokenBytes)},
	} {
		var said strings.Builder
		cfg := config.Default()
		cfg.Auth.Mode, cfg.Auth.AdminTokenFile = c.mode, c.file
		token, err := adminToken(cfg, func(name string) (string, bool) { return c.env, name == adminTokenEnv && c.env != "" }, slog.New(slog.NewTextHandler(&said, nil)))
		assert.Equal(t, c.want, token, name)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			assert.NotContains(t, err.Error(), "0123456789abcdef", "%s: errors never have the token in them", name)
			continue
		}
		require.NoError(t, err, name)
		if assert.Equal(t, c.log == "", said.String() == "", "%s: %s", name, said.String()); c.log != "" {
			assert.Contains(t, said.String(), c.log, name)
		}
		assert.NotContains(t, said.String(), "0123456789abcdef", "%s: nor do logs", name)
	}
}
