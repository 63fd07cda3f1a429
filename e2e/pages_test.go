package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pagesInOrder are the documents in the order in which the README's index has them, the
// README first. All documents are in it.
func pagesInOrder(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, index, found := strings.Cut(string(readme), "\n## Documentation\n")
	require.True(t, found)
	index, _, _ = strings.Cut(index, "\n## ")
	pages := []string{"README.md"}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+\.md)\)`).FindAllStringSubmatch(index, -1) {
		if !seen[m[1]] {
			seen[m[1]] = true
			pages = append(pages, m[1])
		}
	}
	files, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	for _, file := range files {
		assert.True(t, seen["docs/"+filepath.Base(file)], "the index of README.md lacks %s", filepath.Base(file))
	}
	return pages
}

// block is a fenced block of a document.
type block struct{ language, text string }

func fenced(t *testing.T, page string) (found []block) {
	t.Helper()
	text, err := os.ReadFile("../" + page)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?ms)^```(sh|console|python)\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
		found = append(found, block{m[1], m[2]})
	}
	return found
}

// reader is somebody who types everything, page after page, at one server.
type reader struct {
	*server
	home     string
	token    string // of the page on security
	port     string // of the receiver of the page on webhooks
	python   string // the last program, not run yet
	receiver *copyOf
	offline  []string // what needs the server stopped
	ran      map[string]int
}

// A reader can type the commands of all pages one after the other, in the order of the
// index, at one server: no page spoils what a later one expects.
func TestPagesInARow(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3 here")
	}
	s := start(t, "OTTLA_WEBHOOKS_ALLOW=localhost")
	r := &reader{server: s, home: t.TempDir(), port: freeAddress(t)[len("127.0.0.1:"):], ran: map[string]int{}}
	for _, page := range pagesInOrder(t) {
		s.run(page, func(*testing.T) { r.read(page) })
	}
	assert.Greater(t, r.ran["sh"], 7)
	assert.Greater(t, r.ran["console"], 80)
	s.stop()
	assert.Greater(t, len(r.offline), 3)
	for _, command := range r.offline {
		_, err := s.shell(command)
		assert.NoError(t, err, command)
	}
}

// restart has the server go on with other settings, as a page says.
func (r *reader) restart(settings ...string) {
	r.stop()
	r.env = settings
	r.again()
}

func (r *reader) read(page string) {
	guarded := page == "docs/security.md" // it begins with settings, and ends with another server
	if guarded {
		r.restart("OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
		defer r.restart()
	}
	for _, b := range fenced(r.t, page) {
		switch b.language {
		case "sh":
			for line := range strings.Lines(b.text) {
				if strings.Contains(line, "/path/to/") {
					continue // of a clone: clients/run installs from one
				}
				r.typeLine(page, strings.TrimSpace(line))
			}
		case "python":
			r.python = b.text
		default:
			for _, step := range stepsOf([]string{b.text}) {
				if strings.Contains(step.command, "https://ottla.example") || strings.Contains(step.command, "old-kafka:9092") {
					continue // another server; TestTLS and TestMirror have them
				}
				r.ran["console"]++
				if guarded {
					r.typeGuarded(step)
				} else {
					r.typeStep(step)
				}
			}
		}
	}
}

func (r *reader) typeLine(page, line string) {
	command := shellLine(r.t, line, r.dir)
	switch {
	case command == "":
	case strings.HasPrefix(command, "ottla log"):
		r.offline = append(r.offline, command)
	case strings.HasPrefix(command, "ottla status"): // it exits with 1 while the server, started a moment ago, is not well yet
		r.ran["sh"]++
		r.eventually(waitTimeout, page+": "+line, func() error {
			_, err := r.shell(command)
			return err
		})
	default:
		r.ran["sh"]++
		_, err := r.shell(command)
		assert.NoError(r.t, err, "%s: %s", page, line)
	}
}

func (r *reader) typeStep(step step) {
	r.eventually(waitTimeout, step.command, func() error {
		out, err := r.shell(strings.ReplaceAll(step.command, "localhost:9000", "localhost:"+r.port))
		if err != nil && strings.HasPrefix(step.command, "grep") {
			return err // that broker's copy may come a moment later
		}
		require.NoError(r.t, err, step.command)
		if step.output != "" {
			assert.Equal(r.t, normal(step.output), normal(out), step.command)
		}
		return nil
	})
	r.receive(step.command)
}

// receive runs the receiver of the page on webhooks, and waits until it has got what
// was sent.
func (r *reader) receive(command string) {
	if strings.HasPrefix(command, "ottla subscription describe") {
		r.eventually(waitTimeout, "the receiver has it", func() error {
			if got := r.receiver.out.tail(1 << 16); got != "parcels p-1 {'state': 'sent'}\n" {
				return errors.New(got + r.receiver.errs.tail(1<<16))
			}
			return nil
		})
	}
	if !strings.HasPrefix(command, "ottla subscription create") {
		return
	}
	dir := filepath.Dir(r.dir)
	require.NoError(r.t, os.WriteFile(filepath.Join(dir, "receiver.py"), []byte(r.python), 0o600))
	cmd := exec.Command("python3", "receiver.py", r.port)
	cmd.Dir = dir
	r.receiver = r.runSampleIn(cmd)
}

// typeGuarded is typeStep at a server that asks for tokens, as the page on security has
// it: what differs each time stands as ... there.
func (r *reader) typeGuarded(step step) {
	plain := func(text string) string {
		text = regexp.MustCompile(`ottla_[\w-]+|ottla_\.\.\.`).ReplaceAllString(text, "TOKEN")
		text = regexp.MustCompile(` +`).ReplaceAllString(text, " ")
		return regexp.MustCompile(`[0-9]+`).ReplaceAllString(strings.TrimSpace(text), "0")
	}
	out, err := r.shell(fmt.Sprintf("export HOME=%s ADMIN=%s TOKEN=%s; unset XDG_CONFIG_HOME OTTLA_SERVER; %s", r.home, adminSecret, r.token, step.command))
	require.NoError(r.t, err, step.command)
	if m := regexp.MustCompile(`ottla_[\w-]{43}`).FindString(out); m != "" {
		r.token = m
	}
	rest := plain(strings.ReplaceAll(out, r.base, "http://localhost:8080"))
	for _, piece := range strings.Split(plain(step.output), "...") {
		_, after, found := strings.Cut(rest, piece)
		require.True(r.t, found, "%s prints %s, where the page has %s", step.command, out, step.output)
		rest = after
	}
}
