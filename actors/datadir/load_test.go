package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twoClusters is a data directory with cluster a (a/broker-1..3) and b
// (deep/b/broker-1..3).
func twoClusters(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	m, _ := load(t, dir)
	create(t, m, spec("a", "a", 3))
	create(t, m, spec("b", "deep/b", 3))
	return dir
}

// Each row is something that happens to a data directory between two runs.
func TestLoadManifestsAfterAccidents(t *testing.T) {
	ok, lost, misplaced, damaged := PlaceOK, placeLost, placeMisplaced, placeDamaged
	tests := map[string]struct {
		accident func(t *testing.T, in func(string) string)
		a, b     []PlaceState
		kept     string // a file that must still be there, somewhere
	}{
		"nothing": {func(*testing.T, func(string) string) {}, []PlaceState{ok, ok, ok}, []PlaceState{ok, ok, ok}, ""},
		"root manifest lost": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Remove(in("cluster.json")))
		}, []PlaceState{ok, ok, ok}, []PlaceState{ok, ok, ok}, ""},
		"root manifest and a broker lost": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Remove(in("cluster.json")))
			require.NoError(t, os.RemoveAll(in("a/broker-1")))
		}, []PlaceState{lost, ok, ok}, []PlaceState{ok, ok, ok}, ""},
		"one broker's directory lost": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.RemoveAll(in("a/broker-2")))
		}, []PlaceState{ok, lost, ok}, []PlaceState{ok, ok, ok}, ""},
		"a broker's manifest lost": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Remove(in("a/broker-2/cluster.json")))
		}, []PlaceState{ok, lost, ok}, []PlaceState{ok, ok, ok}, "a/broker-2/data"},
		"a broker's manifest damaged": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.WriteFile(in("a/broker-2/cluster.json"), []byte("{"), 0o600))
		}, []PlaceState{ok, damaged, ok}, []PlaceState{ok, ok, ok}, "a/broker-2/data"},
		"two brokers swapped": {func(t *testing.T, in func(string) string) {
			swap(t, in("a/broker-1"), in("a/broker-3"))
		}, []PlaceState{ok, ok, ok}, []PlaceState{ok, ok, ok}, ""},
		"three brokers rotated": {func(t *testing.T, in func(string) string) {
			swap(t, in("a/broker-1"), in("a/broker-3"))
			swap(t, in("a/broker-2"), in("a/broker-3"))
		}, []PlaceState{ok, ok, ok}, []PlaceState{ok, ok, ok}, ""},
		"brokers of two clusters swapped": {func(t *testing.T, in func(string) string) {
			swap(t, in("a/broker-1"), in("deep/b/broker-2"))
		}, []PlaceState{ok, ok, ok}, []PlaceState{ok, ok, ok}, ""},
		"all swapped and the root manifest lost": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Remove(in("cluster.json")))
			swap(t, in("a/broker-1"), in("deep/b/broker-1"))
			swap(t, in("a/broker-2"), in("deep/b/broker-2"))
		}, []PlaceState{ok, ok, ok}, []PlaceState{ok, ok, ok}, ""},
		"one moved over another that was deleted": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.RemoveAll(in("a/broker-3")))
			require.NoError(t, os.Rename(in("a/broker-1"), in("a/broker-3")))
		}, []PlaceState{ok, ok, lost}, []PlaceState{ok, ok, ok}, ""},
		"one copied over another": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.RemoveAll(in("a/broker-3")))
			require.NoError(t, os.CopyFS(in("a/broker-3"), os.DirFS(in("a/broker-1"))))
		}, []PlaceState{ok, ok, misplaced}, []PlaceState{ok, ok, ok}, "a/broker-3/data"},
		"swapped, and its own place holds something without a manifest": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Rename(in("a/broker-1"), in("deep/b/broker-2.old")))
			require.NoError(t, os.RemoveAll(in("deep/b/broker-2")))
			require.NoError(t, os.Rename(in("deep/b/broker-2.old"), in("deep/b/broker-2")))
			require.NoError(t, os.MkdirAll(in("a/broker-1/topic-0"), 0o755))
		}, []PlaceState{lost, ok, ok}, []PlaceState{ok, lost, ok}, "deep/b/broker-2.aside-1/data"},
		"one renamed by the operator": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Rename(in("a/broker-1"), in("a/broker-1.bak")))
		}, []PlaceState{lost, ok, ok}, []PlaceState{ok, ok, ok}, "a/broker-1.bak/data"},
		"a whole cluster copied": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.CopyFS(in("a-backup"), os.DirFS(in("a"))))
		}, []PlaceState{ok, ok, ok}, []PlaceState{ok, ok, ok}, "a-backup/broker-1/data"},
		"a temporary file left behind": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.WriteFile(in("cluster.json.tmp"), []byte("{"), 0o600))
			require.NoError(t, os.WriteFile(in("a/broker-1/cluster.json.tmp"), nil, 0o600))
		}, []PlaceState{ok, ok, ok}, []PlaceState{ok, ok, ok}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := twoClusters(t)
			in := func(path string) string { return filepath.Join(dir, path) }
			tt.accident(t, in)
			for _, start := range []string{"first start", "second start"} {
				_, places, err := Load(dir, foundersLeft)
				require.NoError(t, err, start)
				require.Len(t, places, 2, start)
				byID := map[string]ClusterPlaces{places[0].Manifest.ID: places[0], places[1].Manifest.ID: places[1]}
				assert.Equal(t, tt.a, states(byID["a"]), start)
				assert.Equal(t, tt.b, states(byID["b"]), start)
				requireIntact(t, places)
			}
			if tt.kept != "" {
				assert.FileExists(t, in(tt.kept))
			}
		})
	}
}

func swap(t *testing.T, a, b string) {
	t.Helper()
	require.NoError(t, os.Rename(a, a+".x"))
	require.NoError(t, os.Rename(b, a))
	require.NoError(t, os.Rename(a+".x", b))
}

func TestLoadManifestsRefuses(t *testing.T) {
	damaged := func(err error) bool { var d *DamagedFileError; return errors.As(err, &d) }
	newer := func(err error) bool { var n *NewerFormatError; return errors.As(err, &n) }
	says := func(text string) func(error) bool {
		return func(err error) bool { return strings.Contains(err.Error(), text) }
	}
	edit := func(path, old, with string) func(*testing.T, func(string) string) {
		return func(t *testing.T, in func(string) string) {
			b, err := os.ReadFile(in(path))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(in(path), replaceOnce(b, old, with), 0o600))
		}
	}
	tests := map[string]struct {
		accident func(t *testing.T, in func(string) string)
		want     func(error) bool
		refused  string // the cluster that alone is refused
	}{
		"root manifest cut short": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Truncate(in("cluster.json"), 100))
		}, damaged, ""},
		"root manifest empty": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Truncate(in("cluster.json"), 0))
		}, damaged, ""},
		"a letter changed in the root manifest": {edit("cluster.json", `"log_directory": "a"`, `"log_directory": "c"`), damaged, ""},
		"root manifest of a newer version":      {edit("cluster.json", `"format_version": 1`, `"format_version": 7`), newer, ""},
		"a broker's manifest of a newer version": {
			edit("a/broker-2/cluster.json", `"format_version": 1`, `"format_version": 7`), newer, "",
		},
		"all directories of a cluster missing": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.RemoveAll(in("deep")))
		}, says("is a disk not mounted?"), "b"},
		"all manifests of a cluster missing": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Remove(in("deep/b/broker-1/cluster.json")))
			require.NoError(t, os.Remove(in("deep/b/broker-2/cluster.json")))
			require.NoError(t, os.Remove(in("deep/b/broker-3/cluster.json")))
		}, says("no cluster.json in it"), "b"},
		"a majority of a cluster's directories missing": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.RemoveAll(in("a/broker-1")))
			require.NoError(t, os.RemoveAll(in("a/broker-2")))
		}, says(RepairCommand), "a"},
		"a ledger of a newer version": {
			edit("a/broker-3/ledger.json", `"format_version": 1`, `"format_version": 7`), newer, "",
		},
		"a cluster moved as a whole": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Rename(in("a"), in("moved")))
		}, says("moved/broker-1"), "a"},
		"no root manifest and an unreadable copy of who knows what": {func(t *testing.T, in func(string) string) {
			require.NoError(t, os.Remove(in("cluster.json")))
			require.NoError(t, os.RemoveAll(in("deep/b/broker-1")))
			require.NoError(t, os.RemoveAll(in("deep/b/broker-3")))
			require.NoError(t, os.WriteFile(in("deep/b/broker-2/cluster.json"), nil, 0o600))
		}, damaged, ""},
		"copies that contradict each other": {func(t *testing.T, in func(string) string) {
			var doc BrokerManifest
			path := in("a/broker-2/cluster.json")
			require.NoError(t, readSealed(path, &doc))
			doc.Voters[0].ReplicaID++
			require.NoError(t, durable{}.writeSealed(path, &doc))
		}, says("contradicts"), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := twoClusters(t)
			in := func(path string) string { return filepath.Join(dir, path) }
			tt.accident(t, in)
			before := snapshotTree(t, dir)
			_, places, err := Load(dir, foundersLeft)
			if tt.refused != "" {
				require.NoError(t, err)
				for _, p := range places {
					if p.Manifest.ID == tt.refused {
						err = p.Refused
						continue
					}
					assert.NoError(t, p.Refused)
				}
			}
			require.Error(t, err)
			assert.True(t, tt.want(err), err)
			assert.Equal(t, before, snapshotTree(t, dir), "nothing was changed")
		})
	}
}

func TestLoadManifestsRefusesWhenNoClusterIsLeft(t *testing.T) {
	dir := twoClusters(t)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "a")))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "deep")))
	_, _, err := Load(dir, foundersLeft)
	require.ErrorContains(t, err, `cluster "name-a"`)
	require.ErrorContains(t, err, `cluster "name-b"`)
}

// After a crash while swapped directories are moved home the next start goes on.
func TestMoveHomeCrashesAtEveryStep(t *testing.T) {
	for steps := 0; ; steps++ {
		dir := twoClusters(t)
		swap(t, filepath.Join(dir, "a/broker-1"), filepath.Join(dir, "a/broker-3"))
		swap(t, filepath.Join(dir, "a/broker-2"), filepath.Join(dir, "deep/b/broker-1"))
		m := &Manifests{dataDir: dir, disk: durable{hook: crashAfter(steps)}}
		_, _, err := m.load()
		_, places := load(t, dir)
		for _, p := range places {
			assert.NotContains(t, states(p), placeMisplaced, "step %d", steps)
			assert.NotContains(t, states(p), placeLost, "step %d", steps)
		}
		requireIntact(t, places)
		if err == nil {
			return
		}
		require.ErrorIs(t, err, errCrash)
	}
}

// A backup of a deleted cluster inside the data directory is no cluster, nor
// does it keep the name from being used again.
func TestLoadManifestsIgnoresBackupsOfDeletedClusters(t *testing.T) {
	dir := twoClusters(t)
	require.NoError(t, os.CopyFS(filepath.Join(dir, "backup"), os.DirFS(filepath.Join(dir, "a"))))
	m, _ := load(t, dir)
	require.NoError(t, m.Remove("a"))
	m, places := load(t, dir)
	require.Len(t, places, 1)
	c := spec("a2", "a", 3)
	c.Name = "name-a"
	create(t, m, c)
	_, places = load(t, dir)
	assert.Len(t, places, 2)
	assert.FileExists(t, filepath.Join(dir, "backup/broker-1/data"))
}

// An older root manifest, restored, does not know of a cluster made since.
func TestLoadManifestsAdoptsWhatAnOldRootDoesNotList(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, ManifestName)
	m, _ := load(t, dir)
	create(t, m, spec("a", "a", 1))
	old, err := os.ReadFile(root)
	require.NoError(t, err)
	create(t, m, spec("b", "b", 1))
	require.NoError(t, os.WriteFile(root, old, 0o600))
	_, places := load(t, dir)
	require.Len(t, places, 2)
	assert.False(t, places[0].Recovered)
	assert.True(t, places[1].Recovered)
	requireIntact(t, places)
}

func snapshotTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out[path] = "directory"
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	}))
	return out
}
