package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// documents are those with commands for readers.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	return append(files, "../README.md", "../logfile/README.md")
}

// Every fenced block is of a kind that some test runs, in a document that it
// reads.
func TestEveryBlockOfTheDocumentsIsRun(t *testing.T) {
	run := map[string][]string{
		"console": {"README.md", "getting-started.md", "api-by-example.md", "operating.md", "queues.md", "security.md", "write-a-consumer.md", "webhooks.md", "kafka-clients.md"},
		"python":  {"api-by-example.md", "webhooks.md"}, "js": {"api-by-example.md"}, "go": {"api-by-example.md"}, "text": {"api-by-example.md"},
		"yaml": {"security.md", "machines.md"}, "json": {"security.md"}, "nginx": {"security.md"}, "caddyfile": {"security.md"}, "haproxy": {"security.md"}, "ini": {"security.md"}, "properties": {"kafka-clients.md"},
	}
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile("(?m)^```([a-z]+)$").FindAllStringSubmatch(string(text), -1) {
			assert.True(t, m[1] == "sh" || strings.Contains(strings.Join(run[m[1]], " "), filepath.Base(file)),
				"no test runs the %s of %s", m[1], file)
		}
	}
}

// shellLine makes what a reader types something that a test can run and wait
// for. What would change the machine, or only builds, is looked at and not run:
// then it is empty.
func shellLine(t *testing.T, line, dataDir string) string {
	t.Helper()
	line = regexp.MustCompile(`\s+# .*`).ReplaceAllString(line, "")
	switch {
	case line == "", strings.HasPrefix(line, "#"):
		return ""
	case strings.HasPrefix(line, "make"):
		makefile, err := os.ReadFile("../Makefile")
		require.NoError(t, err)
		setting := regexp.MustCompile(` ([A-Z_]+)=('[^']*'|"[^"]*"|\S+)`)
		for _, m := range setting.FindAllStringSubmatch(line, -1) {
			assert.Regexp(t, `(?m)^`+m[1]+`\s*\?=`, string(makefile), line)
		}
		for _, target := range strings.Fields(setting.ReplaceAllString(line, ""))[1:] {
			assert.Regexp(t, `(?m)^`+target+`:`, string(makefile), line)
		}
		return ""
	case regexp.MustCompile(`^(docker|kubectl|helm|go|rm) `).MatchString(line):
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "packaging/") {
				_, err := os.Stat("../" + word)
				require.NoError(t, err, line)
			}
		}
		return ""
	case strings.HasPrefix(line, "sudo"):
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "packaging/") || word == "config.yaml" {
				assert.FileExists(t, "../"+word, line)
			}
		}
		return ""
	}
	line, _, _ = strings.Cut(line, " | sudo ")
	line = strings.NewReplacer("bin/ottla", "ottla", "/var/lib/ottla", dataDir, "/backup/ottla", dataDir, "/backup/topics", dataDir+"-backup", " --follow", "").Replace(line)
	if strings.Contains(line, "ottla serve") && !strings.Contains(line, "--check") {
		line += " --check"
	}
	if strings.HasPrefix(line, "curl -N") { // endless: it runs until its time is up
		line = strings.Replace(line, "-N", "-sSN --max-time 1", 1) + " || test $? = 28"
	}
	return line
}

// The unit is as systemd wants it, where there is one to ask.
func TestUnitOfSystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	unit, err := os.ReadFile("../packaging/ottla.service")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ottla.service")
	text := strings.ReplaceAll(string(unit), "/usr/local/bin/ottla", binary)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	out, err := exec.Command(tool, "verify", file).CombinedOutput()
	require.NoError(t, err, string(out))
}
