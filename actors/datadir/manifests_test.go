package datadir

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func spec(id, logDirectory string, brokers int) ClusterManifest {
	c := ClusterManifest{
		ID: id, Name: "name-" + id, LogDirectory: logDirectory, NumBrokers: brokers, Fsync: "always",
		CreatedAt: time.Date(2026, 11, 22, 17, 16, 3, 123000000, time.UTC),
	}
	for n := 1; n <= brokers; n++ {
		c.Voters = append(c.Voters, MetadataVoter{Broker: n, ReplicaID: uint64(100 + n)})
	}
	return c
}

// load reads a data directory as a start does.
func load(t *testing.T, dir string) (*Manifests, []ClusterPlaces) {
	t.Helper()
	m, places, err := Load(dir, foundersLeft)
	require.NoError(t, err)
	return m, places
}

// create makes a cluster whose brokers each keep a file that tells them apart.
func create(t *testing.T, m *Manifests, c ClusterManifest) {
	t.Helper()
	require.NoError(t, m.Begin(c))
	fill(t, m, c)
	require.NoError(t, m.Commit(c.ID))
}

func fill(t *testing.T, m *Manifests, c ClusterManifest) {
	t.Helper()
	for n := 1; n <= c.NumBrokers; n++ {
		dir := m.BrokerDir(c, n)
		require.NoError(t, CreateLedger(dir, c.ID, n))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), []byte(c.ID+"/"+strconv.Itoa(n)), 0o600))
	}
}

// states lists what was found of a cluster's brokers.
func states(p ClusterPlaces) (out []PlaceState) {
	for _, b := range p.Brokers {
		out = append(out, b.State)
	}
	return out
}

// requireIntact checks that each usable place holds its own broker's data.
func requireIntact(t *testing.T, places []ClusterPlaces) {
	t.Helper()
	for _, p := range places {
		for _, b := range p.Brokers {
			if b.State != PlaceOK {
				continue
			}
			data, err := os.ReadFile(filepath.Join(b.Dir, "data"))
			require.NoError(t, err)
			require.Equal(t, p.Manifest.ID+"/"+strconv.Itoa(b.Broker), string(data))
		}
	}
}

func TestManifestsCreateAndLoad(t *testing.T) {
	dir := t.TempDir()
	m, places := load(t, dir)
	assert.Empty(t, places)
	a, b := spec("a", "alpha", 3), spec("b", "deep/er/beta", 1)
	create(t, m, a)
	create(t, m, b)
	assert.Equal(t, []string{"alpha", "deep/er/beta"}, m.LogDirectories())

	m, places = load(t, dir)
	a.Phase, b.Phase = Created, Created
	assert.Equal(t, []ClusterManifest{a, b}, m.List())
	require.Len(t, places, 2)
	assert.Equal(t, []PlaceState{PlaceOK, PlaceOK, PlaceOK}, states(places[0]))
	assert.Equal(t, []PlaceState{PlaceOK}, states(places[1]))
	assert.False(t, places[0].Recovered)
	requireIntact(t, places)
}

func TestManifestsRefuseToCreate(t *testing.T) {
	tests := map[string]func(c *ClusterManifest){
		"the same id":             func(c *ClusterManifest) { c.ID = "a" },
		"the same name":           func(c *ClusterManifest) { c.Name = "name-a" },
		"an occupied directory":   func(c *ClusterManifest) { c.LogDirectory = "alpha" },
		"no id":                   func(c *ClusterManifest) { c.ID = "" },
		"no brokers":              func(c *ClusterManifest) { c.NumBrokers = 0 },
		"too many brokers":        func(c *ClusterManifest) { c.NumBrokers = 10 },
		"a path that leads out":   func(c *ClusterManifest) { c.LogDirectory = "../x" },
		"the data directory":      func(c *ClusterManifest) { c.LogDirectory = "." },
		"an unwritable directory": func(c *ClusterManifest) { c.LogDirectory = "file/x" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m, _ := load(t, dir)
			create(t, m, spec("a", "alpha", 1))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
			c := spec("b", "beta", 1)
			change(&c)
			require.Error(t, m.Begin(c))
			assert.Len(t, m.List(), 1)
			_, places := load(t, dir)
			require.Len(t, places, 1)
			requireIntact(t, places)
		})
	}
}

func TestManifestsCreationCrashesAtEveryStep(t *testing.T) {
	outcomes := map[int]bool{} // clusters seen afterwards
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		m, _ := load(t, dir)
		create(t, m, spec("old", "old", 1))
		m.disk.hook = crashAfter(steps)
		c := spec("new", "sub/new", 3)
		err := m.Begin(c)
		if err == nil {
			fill(t, m, c)
			err = m.Commit(c.ID)
		}
		done := err == nil
		if !done {
			require.ErrorIs(t, err, errCrash)
		}

		_, noCopy := os.Stat(filepath.Join(dir, "sub/new/broker-1", ManifestName))
		m, places := load(t, dir)
		requireIntact(t, places)
		require.GreaterOrEqual(t, len(places), 1)
		if noCopy == nil {
			require.Len(t, places, 2, "step %d: nothing that has a manifest is taken back", steps)
		}
		outcomes[len(places)] = true
		if len(places) == 1 {
			require.False(t, done, "a completed creation is kept")
			assert.NoDirExists(t, filepath.Join(dir, "sub"), "step %d: nothing is left of the other", steps)
			create(t, m, c) // and it can be created again
		}
		_, places = load(t, dir)
		require.Len(t, places, 2)
		assert.Equal(t, []PlaceState{PlaceOK, PlaceOK, PlaceOK}, states(places[1]), "step %d", steps)
		if done {
			break
		}
	}
	assert.Len(t, outcomes, 2)
}

func TestManifestsDeletionCrashesAtEveryStep(t *testing.T) {
	outcomes := map[int]bool{}
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		m, _ := load(t, dir)
		create(t, m, spec("keep", "shared/keep", 1))
		create(t, m, spec("gone", "shared/gone", 3))
		m.disk.hook = crashAfter(steps)
		err := m.Remove("gone")
		_, places := load(t, dir)
		requireIntact(t, places)
		outcomes[len(places)] = true
		if len(places) == 1 {
			assert.NoDirExists(t, filepath.Join(dir, "shared/gone"), "step %d", steps)
			assert.DirExists(t, filepath.Join(dir, "shared/keep/broker-1"))
		} else {
			require.ErrorIs(t, err, errCrash)
			assert.Equal(t, []PlaceState{PlaceOK, PlaceOK, PlaceOK}, states(places[1]), "all or nothing")
		}
		if err == nil {
			break
		}
	}
	assert.Len(t, outcomes, 2)
}

// The mark that a cluster is being deleted can be seen, and yet not be on disk, when
// its sync failed: a power cut in the middle of the deletion would bring the
// cluster back without its directories.
func TestManifestsAreOnDiskBeforeTheyAreFollowed(t *testing.T) {
	dir := t.TempDir()
	m, _ := load(t, dir)
	create(t, m, spec("gone", "sub/gone", 2))
	m.disk.hook = crashAfter(2) // the mark is written
	require.ErrorIs(t, m.Remove("gone"), errCrash)
	var steps []string
	m = &Manifests{dataDir: dir, disk: durable{hook: func(step string) error {
		steps = append(steps, strings.ReplaceAll(step, dir, ""))
		return nil
	}}}
	_, _, err := m.load()
	require.NoError(t, err)
	first := slices.IndexFunc(steps, func(s string) bool { return !strings.HasPrefix(s, "sync ") })
	require.Positive(t, first)
	for _, name := range []string{"", "/sub/gone", "/sub/gone/broker-1", "/sub/gone/broker-2"} {
		assert.Contains(t, steps[:first], "sync "+name)
	}
}

// A deletion that stopped within the removal of a directory leaves one without
// a manifest, which is removed too.
func TestManifestsDeletionOfHalfRemovedDirectory(t *testing.T) {
	dir := t.TempDir()
	m, _ := load(t, dir)
	create(t, m, spec("gone", "gone", 2))
	m.disk.hook = crashAfter(2) // the mark is written
	require.ErrorIs(t, m.Remove("gone"), errCrash)
	require.NoError(t, os.Remove(filepath.Join(dir, "gone/broker-1/cluster.json")))
	_, places := load(t, dir)
	assert.Empty(t, places)
	assert.NoDirExists(t, filepath.Join(dir, "gone"))
}

func TestManifestsDeletionKeepsWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	m, _ := load(t, dir)
	create(t, m, spec("a", "a", 2))
	create(t, m, spec("b", "b", 1))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "a/broker-2")))
	require.NoError(t, os.Rename(filepath.Join(dir, "b/broker-1"), filepath.Join(dir, "a/broker-2")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a/notes"), nil, 0o600))
	require.NoError(t, m.Remove("a"))
	assert.FileExists(t, filepath.Join(dir, "a/broker-2/data"))
	assert.FileExists(t, filepath.Join(dir, "a/notes"))
	assert.NoDirExists(t, filepath.Join(dir, "a/broker-1"))
	require.Error(t, m.Remove("a"), "gone already")
}

func TestManifestsRenewBroker(t *testing.T) {
	dir := t.TempDir()
	m, _ := load(t, dir)
	create(t, m, spec("a", "a", 3))
	require.NoError(t, os.Remove(filepath.Join(dir, "a/broker-2/cluster.json")))
	m, places := load(t, dir)
	require.Equal(t, []PlaceState{PlaceOK, placeLost, PlaceOK}, states(places[0]))
	lost := places[0].Brokers[1]
	require.True(t, lost.Occupied)

	newLedger := func(dir string) error { return CreateLedger(dir, "a", 2) }
	filled := false
	err := m.RenewBroker("a", 2, func(string) error { filled = true; return nil })
	require.ErrorIs(t, err, os.ErrExist, "what is there is not written over")
	require.False(t, filled)
	aside, err := m.PutAside(lost.Dir)
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(aside, "data"))

	m.disk.hook = crashAfter(1) // the directory is there, its manifest is not
	require.ErrorIs(t, m.RenewBroker("a", 2, newLedger), errCrash)
	m, places = load(t, dir)
	assert.Equal(t, placeLost, places[0].Brokers[1].State)
	_, err = m.PutAside(lost.Dir)
	require.NoError(t, err)
	require.NoError(t, m.RenewBroker("a", 2, newLedger))
	_, places = load(t, dir)
	assert.Equal(t, PlaceOK, places[0].Brokers[1].State)
	assert.FileExists(t, filepath.Join(lost.Dir, ledgerName))
	for _, n := range []int{0, 4} {
		require.Error(t, m.RenewBroker("a", n, newLedger), "no broker %d", n)
	}
}

// Whether a data directory without a cluster never had one, or had its last one
// deleted, is known after a crash at any step of the creation or the deletion.
func TestManifestsKnowAFirstStart(t *testing.T) {
	dir := t.TempDir()
	m, _ := load(t, dir)
	require.True(t, m.FirstStart())
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		m, _ := load(t, dir)
		c := spec("first", "first", 3)
		m.disk.hook = crashAfter(steps)
		err := m.Begin(c)
		if err == nil { // what keeps the brokers from starting
			err = m.Abort(c.ID)
		}
		m, places := load(t, dir)
		require.Empty(t, places)
		require.True(t, m.FirstStart(), "step %d", steps)
		if err == nil {
			break
		}
	}
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		m, _ := load(t, dir)
		create(t, m, spec("only", "only", 3))
		require.False(t, m.FirstStart())
		m.disk.hook = crashAfter(steps)
		err := m.Remove("only")
		for range 2 {
			m, _ = load(t, dir)
			require.False(t, m.FirstStart(), "step %d", steps)
		}
		if err != nil {
			continue
		}
		// Another one that is half made makes no difference.
		require.NoError(t, m.Begin(spec("second", "second", 1)))
		m, places := load(t, dir)
		require.Empty(t, places)
		require.False(t, m.FirstStart())
		break
	}
}

// foundersLeft is a MetadataQuorum without a look at the logs: a majority of the
// metadata's first voters is enough.
func foundersLeft(p *ClusterPlaces, _ map[int]*Ledger) bool {
	ok := 0
	for _, v := range p.Manifest.Voters {
		if p.Brokers[v.Broker-1].State == PlaceOK {
			ok++
		}
	}
	return ok >= len(p.Manifest.Voters)/2+1
}
