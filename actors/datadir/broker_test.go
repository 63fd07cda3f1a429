package datadir

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A directory that is missing, or older than what a peer has noted of it, is put aside,
// and a new one that says so takes its place.
func TestOpenBrokerReplacesWhatCannotBeUsed(t *testing.T) {
	root := t.TempDir()
	m, _ := load(t, root)
	c := spec("a", "alpha", 3)
	create(t, m, c)
	dir := m.BrokerDir(c, 2)
	first, err := m.OpenBroker(dir, c.ID, 2, false, 0)
	require.NoError(t, err)
	assert.Empty(t, first.Replaced)
	opens := first.Ledger.OpenCount()
	again, err := m.OpenBroker(dir, c.ID, 2, false, opens)
	require.NoError(t, err)
	assert.Empty(t, again.Replaced)
	assert.Equal(t, opens, again.Before)
	assert.False(t, ReplacesLost(dir))

	old, err := m.OpenBroker(dir, c.ID, 2, false, opens+10)
	require.NoError(t, err)
	assert.Equal(t, DirectoryOutdated, old.Replaced)
	require.Error(t, old.Why)
	assert.Zero(t, old.Before)
	assert.Greater(t, old.Ledger.OpenCount(), opens+10, "peers know a greater count of the one before")
	assert.True(t, ReplacesLost(dir))
	require.NoError(t, UnmarkReplacesLost(dir))

	require.NoError(t, os.RemoveAll(dir))
	lost, err := m.OpenBroker(dir, c.ID, 2, false, opens)
	require.NoError(t, err)
	assert.Equal(t, DirectoryLost, lost.Replaced)
	assert.True(t, ReplacesLost(dir))
}
