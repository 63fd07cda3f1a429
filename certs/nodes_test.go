package certs

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/certs/certstest"
)

func nodes(t *testing.T, f NodeFiles) *tls.Config {
	t.Helper()
	get, err := Nodes(f, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return get()
}

// Both ends hold the other one against the authorities.
func TestNodes(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	both := filepath.Join(t.TempDir(), "both.pem")
	require.NoError(t, os.WriteFile(both, append(mustRead(t, ca.PEM), mustRead(t, other.PEM)...), 0o600))
	issue := func(by *certstest.Authority, name, trust string) *tls.Config {
		cert, key := by.Issue(name)
		return nodes(t, NodeFiles{cert, key, trust})
	}
	a := issue(ca, "a", ca.PEM)
	name, _, err := shake(t, a, issue(ca, "b", ca.PEM))
	require.NoError(t, err)
	assert.Equal(t, "a", name)
	stranger := issue(other, "b", both)
	_, _, err = shake(t, a, stranger)
	assert.ErrorContains(t, err, "bad certificate", "the server refuses")
	_, _, err = shake(t, stranger, a)
	assert.ErrorContains(t, err, "unknown authority", "the client refuses")
	none := issue(ca, "b", ca.PEM)
	none.Certificates = nil
	_, _, err = shake(t, a, none)
	assert.ErrorContains(t, err, "certificate required")
}

func TestUnusableNodeFiles(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	cert, key := ca.Issue("a")
	_, otherKey := ca.Issue("b")
	for _, f := range []NodeFiles{
		{cert, otherKey, ca.PEM},
		{cert, key, other.PEM},
		{cert, key, key},
		{cert, key, ""},
		{cert + "x", key, ca.PEM},
	} {
		_, err := Nodes(f, slog.New(slog.DiscardHandler))
		assert.Error(t, err, "%+v", f)
	}
}

func TestNodeFilesAreReadAgain(t *testing.T) {
	ca, next := certstest.New(t), certstest.New(t)
	cert, key := ca.Issue("a")
	roots := t.TempDir() + "/roots.pem"
	copyFile(t, ca.PEM, roots)
	now := time.Now()
	var log bytes.Buffer
	get, err := nodesAt(NodeFiles{cert, key, roots}, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time {
		now = now.Add(checkEvery)
		return now
	})
	require.NoError(t, err)
	first := get()

	// An authority that has not signed the own certificate is not taken over alone.
	copyFile(t, next.PEM, roots)
	touch(t, roots)
	assert.Same(t, first, get())
	assert.Contains(t, log.String(), "level=ERROR")

	require.NoError(t, os.WriteFile(roots, append(mustRead(t, ca.PEM), mustRead(t, next.PEM)...), 0o600))
	touch(t, roots)
	newCert, newKey := next.Issue("b")
	name, _, err := shake(t, nodes(t, NodeFiles{newCert, newKey, roots}), get())
	require.NoError(t, err)
	assert.Equal(t, "b", name)
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return b
}
