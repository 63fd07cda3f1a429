package datadir

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/actors/level/leveltest"
)

// Once a level is noted, programs that read cluster.json up to version 3 refuse the
// directory; before, they do not. What else is in the file stays.
func TestRaisedLevelKeepsOlderProgramsOut(t *testing.T) {
	dir := t.TempDir()
	m, _, err := Load(dir, nil)
	require.NoError(t, err)
	assert.Equal(t, level.Oldest, m.Level())
	require.NoError(t, m.Raise(level.Oldest))
	assert.NoFileExists(t, filepath.Join(dir, ManifestName), "nothing is new")

	require.NoError(t, m.Raise(2))
	require.NoError(t, m.Raise(1), "it never goes back")
	b, err := os.ReadFile(filepath.Join(dir, ManifestName))
	require.NoError(t, err)
	assert.Contains(t, string(b), `"format_version": 4`)
	again, _, err := Load(dir, nil)
	require.NoError(t, err)
	assert.Equal(t, 2, again.Level())
}

func TestDirectoryOfAHigherLevelIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, durable{}.writeSealed(filepath.Join(dir, ManifestName), &rootManifest{Level: level.Newest + 1}))
	before, err := os.ReadFile(filepath.Join(dir, ManifestName))
	require.NoError(t, err)
	_, _, err = Load(dir, nil)
	var newer *NewerLevelError
	require.ErrorAs(t, err, &newer)
	assert.ErrorContains(t, err, "the fleet of this data directory is at level 5, this program knows levels 1 to 4: start a newer version here")
	after, err := os.ReadFile(filepath.Join(dir, ManifestName))
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

// Whoever adds a version of a file says from which level on it is written.
func TestEveryVersionOfAFileHasALevel(t *testing.T) {
	for v := 1; v <= (&rootManifest{}).newest(); v++ {
		assert.Contains(t, level.Formats, fmt.Sprintf("cluster.json %d", v))
	}
	for v := 1; v <= (&ledgerFile{}).newest(); v++ {
		assert.Contains(t, level.Formats, fmt.Sprintf("ledger.json %d", v))
	}
	assert.Equal(t, 1, (&Node{}).newest())
	assert.Equal(t, 1, (&membersFile{}).newest())
}

// So does whoever adds a field: older programs call a file damaged that has one that they
// do not know.
func TestEveryFieldHasALevel(t *testing.T) {
	leveltest.Fields(t, "fields.txt", map[string]any{
		"cluster.json": rootManifest{}, "broker/cluster.json": BrokerManifest{}, "ledger.json": ledgerFile{}, "node.json": Node{}, "members.json": membersFile{},
	})
}
