package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The page on webhooks works line by line, with its own receiver.
func TestWebhooksPage(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	const page = "../docs/webhooks.md"
	s := start(t, "OTTLA_WEBHOOKS_ALLOW=localhost")
	port := freeAddress(t)[len("127.0.0.1:"):]
	dir := filepath.Dir(s.dir)
	file := filepath.Join(dir, "receiver.py")
	require.NoError(t, os.WriteFile(file, []byte(blocks(t, page, "python")[0]), 0o600))
	var c *copyOf
	for _, step := range stepsOf(blocks(t, page, "console")) {
		out, err := s.shell(strings.ReplaceAll(step.command, "localhost:9000", "localhost:"+port))
		require.NoError(t, err, step.command)
		if step.output != "" {
			assert.Equal(t, normal(step.output), normal(out), step.command)
		}
		switch {
		case strings.HasPrefix(step.command, "ottla subscription create"):
			cmd := exec.Command(tool, file, port)
			cmd.Dir = dir
			c = s.runSampleIn(cmd)
			s.eventually(waitTimeout, "the receiver listens", func() error {
				conn, err := net.Dial("tcp", "localhost:"+port)
				if err == nil {
					err = conn.Close()
				}
				return err
			})
		case strings.HasPrefix(step.command, "ottla subscription describe"):
			s.eventually(waitTimeout, "the receiver has it", func() error {
				if got := c.out.tail(1 << 16); got != "parcels p-1 {'state': 'sent'}\n" {
					return errors.New(got + c.errs.tail(1<<16))
				}
				return nil
			})
		}
	}
}

// Sources and subscriptions from the command line.
func TestCommandsForWebhooks(t *testing.T) {
	t.Parallel()
	s := start(t, allowReceivers)
	s.topic("orders", 1)
	r := receive(t)
	created := s.must("", "subscription", "create", "a", "--topic", "orders", "--url", r.url, "--batch", "5", "--timeout", "2s", "--order", "key",
		"--max-deliveries", "3", "--dead-letter-topic", "failed", "--header", "X-Key: of-the-receiver", "--secret", hookSecret, "--from", "latest", "--paused")
	for _, want := range []string{"STATE           paused\n", "BATCH           5\n", "TIMEOUT         2s\n", "ORDER           key\n", "SIGNED          true\n", "DEAD LETTERS    failed\n", "LAG             0\n"} {
		assert.Contains(t, created, want)
	}
	assert.NotContains(t, created, "of-the-receiver")
	assert.Contains(t, s.must("", "subscription", "resume", "a"), "STATE           active\n")
	s.eventually(waitTimeout, "its group is there", func() error {
		_, err := s.shell("ottla group describe subscription-a")
		return err
	})
	s.must("1\n", "produce", "orders")
	r.await(s, 1)
	assert.Equal(t, "of-the-receiver", r.hooks()[0].header.Get("X-Key"))
	assert.Regexp(t, `(?m)^a +orders +active +0 +200 +- +http`, s.must("", "subscription", "list"))
	assert.Contains(t, s.must("", "subscription", "pause", "a"), "STATE           paused\n")
	assert.Equal(t, "subscription a deleted\n", s.must("", "subscription", "delete", "a"))
	generated := s.must("", "subscription", "create", "a", "--topic", "orders", "--url", r.url, "--generate-secret")
	assert.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=\n$`, generated)

	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(senderSecret+"\n"), 0o600))
	s.must("", "source", "create", "hub", "--topic", "orders", "--scheme", "github", "--secret-file", secret, "--key-json", "/ref", "--id-header", "X-GitHub-Delivery", "--keep", "X-GitHub-Event")
	assert.Regexp(t, `(?m)^hub +default +orders +github +/ref +x-github-delivery$`, s.must("", "source", "describe", "hub"))
	const body = `{"ref":"main"}`
	s.post("/sources/hub", body, push("1", senderSecret, body)...).want(200)
	s.must(senderSecret, "source", "create", "own", "--topic", "orders", "--scheme", "hmac-sha256", "--header", "X-Sig", "--secret-file", "-")
	assert.Contains(t, s.must("", "source", "list"), "own")
	assert.Equal(t, "source hub deleted\n", s.must("", "source", "delete", "hub"))
	for _, args := range [][]string{
		{"subscription", "create", "x", "--topic", "orders"},
		{"subscription", "create", "x", "--topic", "orders", "--url", r.url, "--header", "none"},
		{"subscription", "create", "x", "--topic", "orders", "--url", r.url, "--secret", "x", "--generate-secret"},
		{"source", "create", "x", "--topic", "orders", "--scheme", "github"},
		{"source", "create", "x", "--scheme", "github", "--secret", "x"},
		{"source", "create", "x", "--topic", "orders", "--scheme", "github", "--secret-file", secret + ".none"},
	} {
		code, _, stderr := s.ottla("", args...)
		assert.Equal(t, 2, code, "%v: %s", args, stderr)
	}
}
