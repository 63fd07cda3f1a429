package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"
)

// blocks returns the fenced blocks of a document that are in a language.
func blocks(t *testing.T, path, language string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	require.NotEmpty(t, found, "%s has no %s", path, language)
	return found
}

// stepsOf splits console blocks into commands and what they print.
func stepsOf(blocks []string) (steps []step) {
	for _, block := range blocks {
		for line := range strings.Lines(block) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: strings.TrimSuffix(command, "\n")})
				continue
			}
			steps[len(steps)-1].output += line
		}
	}
	return steps
}

// shell runs a command as a reader of the documents would: ottla is in the
// PATH, and the server where its commands look for it.
func (s *server) shell(command string) (string, error) {
	bin := filepath.Join(s.root.TempDir(), "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	if err := os.Symlink(binary, filepath.Join(bin, "ottla")); err != nil {
		return "", err
	}
	command = strings.ReplaceAll(command, "localhost:8080", strings.TrimPrefix(s.base, "http://"))
	cmd := exec.Command("bash", "-o", "pipefail", "-c", command)
	cmd.Dir = filepath.Dir(s.dir)
	cmd.Env = append(os.Environ(), "OTTLA_SERVER="+s.base, "PATH="+bin+":"+os.Getenv("PATH"))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, errs.String())
	}
	return string(out), err
}

// Every console block of the documents works, line by line, and prints what
// it says there; a command without output may print anything.
func TestConsoleBlocksOfTheDocuments(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"getting-started", "api-by-example", "operating", "queues", "write-a-consumer"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			for _, step := range stepsOf(blocks(t, "../docs/"+name+".md", "console")) {
				out, err := s.shell(step.command)
				require.NoError(t, err, step.command)
				if step.output != "" {
					assert.Equal(t, normal(step.output), normal(out), step.command)
				}
			}
		})
	}
}

// The dashboard and the alerts ask for nothing that /metrics does not have.
func TestMonitoringNamesMetricsThatExist(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.must("1\n", "produce", "clicks")
	require.NoError(t, s.kafka().ProduceSync(s.context(), &kgo.Record{Topic: "clicks", Value: []byte("1")}).FirstErr())
	s.must("", "consume", "clicks", "--group", "g", "--max-records", "1", "--follow")
	s.must("", "queue", "create", "jobs", "--topic", "clicks")
	metrics := string(s.get("/metrics").body)

	alerts, err := os.ReadFile("../docs/monitoring/alerts.yaml")
	require.NoError(t, err)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Expr        string
				Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(alerts, &rules))
	require.NotEmpty(t, rules.Groups[0].Rules)
	for _, r := range rules.Groups[0].Rules {
		assert.NotEmpty(t, r.Expr, r.Alert)
		assert.NotEmpty(t, r.Annotations["summary"], r.Alert)
	}
	dashboard, err := os.ReadFile("../docs/monitoring/grafana.json")
	require.NoError(t, err)
	require.True(t, json.Valid(dashboard))

	operating, err := os.ReadFile("../docs/operating.md")
	require.NoError(t, err)
	for _, text := range []string{string(alerts), string(dashboard), string(operating)} {
		for _, name := range regexp.MustCompile(`\b(ottla|go|process)_[a-z_]+\b`).FindAllString(text, -1) {
			if regexp.MustCompile(`^ottla_(fleet|node|link)_`).MatchString(name) {
				// Only a fleet has a level, and other nodes.
				source, err := os.ReadFile("../http/metrics_broker.go")
				require.NoError(t, err)
				assert.Contains(t, string(source), `newDesc("`+strings.TrimPrefix(name, "ottla_")+`"`, name)
				continue
			}
			assert.Regexp(t, `(?m)^`+name+`(_bucket)?[ {]`, metrics, name)
		}
	}
}

// Links between the documents lead somewhere.
func TestLinksOfTheDocuments(t *testing.T) {
	for _, pattern := range []string{"../docs/*.md", "../README.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
				assert.FileExists(t, filepath.Join(filepath.Dir(file), m[1]), file)
			}
		}
	}
}

// The tests that the page on reliability names are where it says.
func TestReliabilityNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("../docs/reliability.md")
	require.NoError(t, err)
	found := 0
	for _, m := range regexp.MustCompile("`([a-z0-9/]+)` ((?:`Fuzz\\w+`(?:, )?)+)").FindAllStringSubmatch(string(page), -1) {
		var source strings.Builder
		files, err := filepath.Glob("../" + m[1] + "/*_test.go")
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			source.Write(text)
		}
		for _, name := range regexp.MustCompile(`Fuzz\w+`).FindAllString(m[2], -1) {
			found++
			assert.Regexp(t, `(?m)^func `+name+`\(`, source.String(), "%s in %s", name, m[1])
		}
	}
	assert.Greater(t, found, 20)
}
