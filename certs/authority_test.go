package certs

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const year = 365 * 24 * time.Hour

func TestAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	a, err := OpenAuthority(dir, 10*year)
	require.NoError(t, err)
	assert.True(t, a.Made())
	first, err := a.Issue("node-1", []string{"10.0.0.1", "one.example"}, year)
	require.NoError(t, err)

	again, err := OpenAuthority(dir, year)
	require.NoError(t, err)
	assert.False(t, again.Made())
	assert.Equal(t, a.Until(), again.Until())
	second, err := again.Issue("node-2", nil, 100*year)
	require.NoError(t, err)

	one, two := nodes(t, first), nodes(t, second)
	name, _, err := shake(t, one, two)
	require.NoError(t, err)
	assert.Equal(t, "node-1", name)
	leaf := one.Certificates[0].Leaf
	for _, host := range []string{"node-1", "10.0.0.1", "one.example"} {
		assert.NoError(t, leaf.VerifyHostname(host))
	}
	assert.Error(t, leaf.VerifyHostname("node-2"))
	assert.Equal(t, a.Until(), two.Certificates[0].Leaf.NotAfter, "no longer than the authority")

	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 6)
	for _, f := range files {
		fi, err := f.Info()
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), fi.Mode(), f.Name())
	}
}

// What is there is left alone, and what is missing is not half made.
func TestAuthorityLeavesFilesAlone(t *testing.T) {
	dir := t.TempDir()
	a, err := OpenAuthority(dir, year)
	require.NoError(t, err)
	for _, name := range []string{"", "a/b", "..", "-a", "a.", "ca", "a b"} {
		_, err := a.Issue(name, nil, year)
		assert.Error(t, err, name)
	}
	blocked := filepath.Join(dir, "node-1.pem")
	require.NoError(t, os.WriteFile(blocked, []byte("mine"), 0o600))
	_, err = a.Issue("node-1", nil, year)
	assert.ErrorIs(t, err, os.ErrExist)
	assert.Equal(t, "mine", string(mustRead(t, blocked)))
	assert.NoFileExists(t, filepath.Join(dir, "node-1.key"))

	require.NoError(t, os.Remove(filepath.Join(dir, AuthorityKey)))
	_, err = OpenAuthority(dir, year)
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.NoFileExists(t, filepath.Join(dir, AuthorityKey))
}

func TestAuthorityExpires(t *testing.T) {
	dir := t.TempDir()
	a, err := OpenAuthority(dir, time.Hour)
	require.NoError(t, err)
	_, err = openAuthority(dir, time.Hour, func() time.Time { return time.Now().Add(2 * time.Hour) })
	assert.ErrorContains(t, err, "expired")
	files, err := a.Issue("node", nil, -time.Minute)
	require.NoError(t, err)
	_, err = Nodes(files, slog.New(slog.DiscardHandler))
	assert.ErrorContains(t, err, "expired")
}
