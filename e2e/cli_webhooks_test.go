package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
