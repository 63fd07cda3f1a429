package datadir

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Names of files in a data directory, and the largest number of brokers that a
// manifest may have.
const (
	ManifestName       = "cluster.json"
	ledgerName         = "ledger.json"
	lockName           = "LOCK"
	maxManifestBrokers = 9
)

// Phase says how far the creation or deletion of a cluster has come.
type Phase string

// The phases.
const (
	Creating Phase = "creating" // its directories are being made; a crash undoes it
	Created  Phase = "created"
	Deleting Phase = "deleting" // its directories are being removed; after a crash the next start goes on
)

// MetadataVoter is a first voter of a cluster's __cluster_metadata. Later
// changes of membership travel in that log, not here.
type MetadataVoter struct {
	Broker    int    `json:"broker"`
	ReplicaID uint64 `json:"replica_id"`
}

// ClusterManifest is what is known of a cluster before any log is read. Of it only
// Phase changes, and which brokers there are.
type ClusterManifest struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	LogDirectory string          `json:"log_directory"` // relative to the data directory
	NumBrokers   int             `json:"num_brokers"`   // 1-9
	Fsync        string          `json:"fsync"`         // "always" or "interval"
	CreatedAt    time.Time       `json:"created_at"`
	Voters       []MetadataVoter `json:"metadata_voters"`
	Phase        Phase           `json:"phase"`

	// Where a cluster has brokers at several nodes, each node has a manifest of its
	// own. Nodes are those of brokers 1, 2, ...; empty: all brokers are here.
	Nodes []uint64 `json:"nodes,omitempty"`
	Local []int    `json:"local,omitempty"` // the brokers that are here, where Nodes says where they are
	// Arriving are brokers on their way here, with the number of the move. They have a
	// directory here, and another one where Nodes says.
	Arriving map[int]uint64 `json:"arriving,omitempty"`
}

// Brokers are those of the cluster that are here, ascending.
func (c ClusterManifest) Brokers() []int {
	if len(c.Nodes) > 0 {
		here := slices.Concat(c.Local, slices.Collect(maps.Keys(c.Arriving)))
		slices.Sort(here)
		return slices.Compact(here)
	}
	all := make([]int, c.NumBrokers)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

// rootManifest is <data_dir>/cluster.json.
type rootManifest struct {
	seal
	Clusters []ClusterManifest `json:"clusters"`
	// HadClusters says, where Clusters does not, that a cluster was created here once: the
	// default cluster is not missing then, but deleted.
	HadClusters bool `json:"settled,omitempty"`
	// Level is that of the fleet, as far as it was raised; 0: it was not.
	Level int `json:"level,omitempty"`
}

func (r *rootManifest) version() int {
	if r.Level > 0 {
		return manifestLevelVersion
	}
	if slices.ContainsFunc(r.Clusters, func(c ClusterManifest) bool { return len(c.Nodes) > 0 }) {
		return manifestNodesVersion
	}
	if r.HadClusters {
		return manifestSettledVersion
	}
	return manifestVersion
}

func (r *rootManifest) newest() int { return manifestLevelVersion }

// BrokerManifest is <data_dir>/<log_directory>/broker-<n>/cluster.json. It
// makes that directory broker n's, wherever it stands.
type BrokerManifest struct {
	seal
	Broker int `json:"broker"`
	ClusterManifest
}

func (b *BrokerManifest) version() int {
	if len(b.Nodes) > 0 {
		return manifestNodesVersion
	}
	return manifestVersion
}

func (b *BrokerManifest) newest() int { return manifestNodesVersion }

// BrokerDirName is the last element of a broker's directory.
func BrokerDirName(broker int) string { return "broker-" + strconv.Itoa(broker) }

// Manifests keeps the data directory's list of clusters. It is safe for
// concurrent use; changes are durable when a method returns. Every method
// does I/O, and none of it is on the hot path.
type Manifests struct {
	dataDir        string
	disk           durable
	metadataQuorum MetadataQuorum

	mu          sync.Mutex
	clusters    []ClusterManifest
	hadClusters bool // a cluster was created here at some time
	level       int  // of the fleet, 0 where it was never raised
}

// BrokerDir is where a broker of c belongs.
func (m *Manifests) BrokerDir(c ClusterManifest, broker int) string {
	return filepath.Join(m.dataDir, c.LogDirectory, BrokerDirName(broker))
}

// List returns the clusters that are not deleted.
func (m *Manifests) List() []ClusterManifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.clusters)
}

// LogDirectories are the log directories in use, for CheckLogDirectory.
func (m *Manifests) LogDirectories() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	dirs := make([]string, 0, len(m.clusters))
	for _, c := range m.clusters {
		dirs = append(dirs, c.LogDirectory)
	}
	return dirs
}

// Begin notes that c is being created and makes its brokers' directories. The
// caller then fills them (ledgers, first logs) and calls Commit, or Abort. After a
// crash in between nothing of c is left at the next start. Errors: c is invalid,
// its id, name or a directory is in use, or the disk fails.
func (m *Manifests) Begin(c ClusterManifest) error {
	c.Phase = Creating
	if err := c.validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.clusters {
		if other.ID == c.ID || other.Name == c.Name {
			return fmt.Errorf("cluster %q (id %s) exists already", other.Name, other.ID)
		}
	}
	for _, n := range c.Brokers() {
		if err := absent(m.BrokerDir(c, n)); err != nil {
			return fmt.Errorf("create cluster %q: %w", c.Name, err)
		}
	}
	if err := m.replaceRoot(append(slices.Clone(m.clusters), c)); err != nil {
		return fmt.Errorf("create cluster %q: %w", c.Name, err)
	}
	for _, n := range c.Brokers() {
		if err := m.disk.mkdirAll(m.dataDir, m.BrokerDir(c, n)); err != nil {
			return errors.Join(fmt.Errorf("create cluster %q: %w", c.Name, err), m.finishRemoval(c.ID))
		}
	}
	return nil
}

// Resume returns the entry of a cluster whose brokers are at several nodes, and
// makes what is missing of their directories here; fill is called for each that
// has no manifest yet. Errors: no such cluster, the disk fails.
func (m *Manifests) Resume(id string, fill func(broker int, dir string) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return fmt.Errorf("resume cluster %s: no such cluster", id)
	}
	c := m.clusters[i]
	for _, n := range c.Brokers() {
		dir := m.BrokerDir(c, n)
		if absent(filepath.Join(dir, ManifestName)) != nil {
			continue // it is complete
		}
		if err := m.disk.mkdirAll(m.dataDir, dir); err != nil {
			return fmt.Errorf("resume cluster %q: %w", c.Name, err)
		}
		if err := fill(n, dir); err != nil {
			return fmt.Errorf("resume cluster %q: %w", c.Name, err)
		}
	}
	return nil
}

// Adopt enters a cluster that exists, whose brokers here have no directories: they
// count as lost. Errors: those of Begin.
func (m *Manifests) Adopt(c ClusterManifest) error {
	c.Phase = Created
	if err := c.validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(c.ID) >= 0 {
		return fmt.Errorf("cluster %q (id %s) exists already", c.Name, c.ID)
	}
	return m.replaceRoot(append(slices.Clone(m.clusters), c))
}

// Move notes that brokers of a cluster are at other nodes now. Its entry is replaced, or
// made where some of its brokers are here now; those have no directories then, and
// count as lost. Errors: c is invalid, the disk fails.
func (m *Manifests) Move(c ClusterManifest) error {
	if err := c.validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next := slices.Clone(m.clusters)
	switch i := m.find(c.ID); {
	case i >= 0:
		c.Phase, c.Voters = next[i].Phase, next[i].Voters // the first ones stay the first
		next[i] = c
	case len(c.Local)+len(c.Arriving) == 0:
		return nil
	default:
		next = append(next, c)
	}
	return m.replaceRoot(next)
}

// Resize notes how many brokers a cluster has, all of them here. New ones have no
// directories yet, and count as lost. Errors: no such cluster, the disk fails.
func (m *Manifests) Resize(id string, brokers int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return fmt.Errorf("resize cluster %s: no such cluster", id)
	}
	next := slices.Clone(m.clusters)
	next[i].NumBrokers = brokers
	if err := next[i].validate(); err != nil {
		return err
	}
	return m.replaceRoot(next)
}

// RemoveBroker removes the directory of a broker that is here no more. Errors: it is here,
// the disk fails.
func (m *Manifests) RemoveBroker(c ClusterManifest, broker int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.find(c.ID); i >= 0 && slices.Contains(m.clusters[i].Brokers(), broker) {
		return fmt.Errorf("broker %d of cluster %q is here", broker, c.Name)
	}
	return m.removeBrokerDir(c, broker)
}

// Find returns the entry of a cluster.
func (m *Manifests) Find(id string) (ClusterManifest, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.find(id); i >= 0 {
		return m.clusters[i], true
	}
	return ClusterManifest{}, false
}

// Commit completes a creation: it writes each broker's copy of the manifest, then
// the root's entry.
func (m *Manifests) Commit(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return fmt.Errorf("commit cluster %s: no such cluster", id)
	}
	c := m.clusters[i]
	c.Phase = Created
	for _, n := range c.Brokers() {
		if err := m.writeCopy(c, n); err != nil {
			return fmt.Errorf("commit cluster %q: %w", c.Name, err)
		}
	}
	next := slices.Clone(m.clusters)
	next[i] = c
	return m.replaceRoot(next)
}

// Abort undoes Begin while the process lives on.
func (m *Manifests) Abort(id string) error { return m.Remove(id) }

// Remove deletes a cluster with all its directories: the entry is marked, then the
// directories are removed, then the entry. After a crash in between Load goes on.
// A directory in a broker's place that is another's, or cannot be read, is kept.
func (m *Manifests) Remove(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return fmt.Errorf("delete cluster %s: no such cluster", id)
	}
	next := slices.Clone(m.clusters)
	next[i].Phase = Deleting
	if err := m.replaceRoot(next); err != nil {
		return fmt.Errorf("delete cluster %q: %w", next[i].Name, err)
	}
	return m.finishRemoval(id)
}

// finishRemoval goes on with Remove behind the mark.
func (m *Manifests) finishRemoval(id string) error {
	i := m.find(id)
	c := m.clusters[i]
	for _, n := range c.Brokers() {
		if err := m.removeBrokerDir(c, n); err != nil {
			return fmt.Errorf("delete cluster %q: %w", c.Name, err)
		}
	}
	m.removeEmptyParents(c)
	next := slices.Delete(slices.Clone(m.clusters), i, i+1)
	if err := m.replaceRoot(next); err != nil {
		return fmt.Errorf("delete cluster %q: %w", c.Name, err)
	}
	return nil
}

// removeBrokerDir removes a broker's directory unless what stands there is
// known to be, or may be, somebody else's.
func (m *Manifests) removeBrokerDir(c ClusterManifest, n int) error {
	dir := m.BrokerDir(c, n)
	var copyThere BrokerManifest
	err := readSealed(filepath.Join(dir, ManifestName), &copyThere)
	switch {
	case errors.Is(err, os.ErrNotExist): // half made or half removed
	case err != nil:
		return nil // unreadable: kept
	case copyThere.ID != c.ID || copyThere.Broker != n:
		return nil
	}
	return m.disk.removeAll(dir)
}

// removeEmptyParents tidies up the log directory and what is above it, as
// far as nothing else is in there.
func (m *Manifests) removeEmptyParents(c ClusterManifest) {
	for rel := filepath.Clean(c.LogDirectory); rel != "."; rel = filepath.Dir(rel) {
		path := filepath.Join(m.dataDir, rel)
		if info, err := os.Lstat(path); err != nil || !info.IsDir() || os.Remove(path) != nil {
			return
		}
	}
}

// RenewBroker makes a new directory for a broker that was lost. Its place must be
// free (see PutAside). Fill puts a new ledger there; the copy of the manifest is
// written last, so a crash leaves a directory that still counts as lost.
func (m *Manifests) RenewBroker(id string, broker int, fill func(dir string) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 || !slices.Contains(m.clusters[i].Brokers(), broker) {
		return fmt.Errorf("renew broker %d of cluster %s: no such broker", broker, id)
	}
	c := m.clusters[i]
	dir := m.BrokerDir(c, broker)
	if err := absent(dir); err != nil {
		return fmt.Errorf("renew broker %d of cluster %q: %w", broker, c.Name, err)
	}
	if err := m.disk.mkdirAll(m.dataDir, dir); err != nil {
		return fmt.Errorf("renew broker %d of cluster %q: %w", broker, c.Name, err)
	}
	if err := fill(dir); err != nil {
		return fmt.Errorf("renew broker %d of cluster %q: %w", broker, c.Name, err)
	}
	return m.writeCopy(c, broker)
}

// absent returns os.ErrExist, with the path, when something is there.
func absent(path string) error {
	_, err := os.Lstat(path)
	if err == nil {
		return fmt.Errorf("%s: %w", path, os.ErrExist)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (m *Manifests) writeCopy(c ClusterManifest, broker int) error {
	doc := &BrokerManifest{Broker: broker, ClusterManifest: c}
	return m.disk.writeSealed(filepath.Join(m.BrokerDir(c, broker), ManifestName), doc)
}

// replaceRoot writes the root manifest; memory follows the disk.
func (m *Manifests) replaceRoot(next []ClusterManifest) error {
	created := anyCreated(next)
	doc := &rootManifest{Clusters: next, HadClusters: m.hadClusters && !created, Level: m.level}
	if err := m.disk.writeSealed(filepath.Join(m.dataDir, ManifestName), doc); err != nil {
		return err
	}
	m.clusters, m.hadClusters = next, m.hadClusters || created
	return nil
}

func anyCreated(clusters []ClusterManifest) bool {
	return slices.ContainsFunc(clusters, func(c ClusterManifest) bool { return c.Phase == Created })
}

// FirstStart reports whether no cluster has ever been created here.
func (m *Manifests) FirstStart() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.hadClusters
}

func (m *Manifests) find(id string) int {
	return slices.IndexFunc(m.clusters, func(c ClusterManifest) bool { return c.ID == id })
}

// validate refuses a manifest that this program cannot have written.
func (c ClusterManifest) validate() error {
	switch {
	case c.ID == "":
		return errors.New("cluster manifest: no id")
	case c.NumBrokers < 1 || c.NumBrokers > maxManifestBrokers:
		return fmt.Errorf("cluster manifest of %q: num_brokers %d, want 1-%d", c.Name, c.NumBrokers, maxManifestBrokers)
	case !filepath.IsLocal(c.LogDirectory) || filepath.Clean(c.LogDirectory) == ".":
		return fmt.Errorf("cluster manifest of %q: log_directory %q leaves the data directory", c.Name, c.LogDirectory)
	case len(c.Nodes) > 0 && len(c.Nodes) != c.NumBrokers:
		return fmt.Errorf("cluster manifest of %q: nodes of %d brokers, there are %d", c.Name, len(c.Nodes), c.NumBrokers)
	case slices.ContainsFunc(c.Brokers(), func(b int) bool { return b < 1 || b > c.NumBrokers }):
		return fmt.Errorf("cluster manifest of %q: local brokers %v", c.Name, c.Local)
	case c.Phase != Creating && c.Phase != Created && c.Phase != Deleting:
		return fmt.Errorf("cluster manifest of %q: unknown phase %q", c.Name, c.Phase)
	}
	return nil
}
