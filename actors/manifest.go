package actors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	manifestName       = "cluster.json"
	ledgerName         = "ledger.json"
	lockName           = "LOCK"
	maxManifestBrokers = 9
)

// clusterPhase says how far a cluster's creation or deletion has come.
type clusterPhase string

const (
	clusterCreating clusterPhase = "creating" // directories are being made; nothing was answered yet
	clusterCreated  clusterPhase = "created"
	clusterDeleting clusterPhase = "deleting" // directories are going; finished at the next start after a crash
)

// metadataVoter is a first voter of a cluster's __cluster_metadata. Later
// changes of membership travel in that log, not here.
type metadataVoter struct {
	Broker    int    `json:"broker"`
	ReplicaID uint64 `json:"replica_id"`
}

// clusterManifest is what is known of a cluster before any log is read. But
// for Phase it never changes.
type clusterManifest struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	LogDirectory string          `json:"log_directory"` // relative to the data directory
	NumBrokers   int             `json:"num_brokers"`   // 1-9
	Fsync        string          `json:"fsync"`         // "always" or "interval"
	CreatedAt    time.Time       `json:"created_at"`
	Voters       []metadataVoter `json:"metadata_voters"`
	Phase        clusterPhase    `json:"phase"`
}

// rootManifest is <data_dir>/cluster.json.
type rootManifest struct {
	seal
	Clusters []clusterManifest `json:"clusters"`
	// Settled says, where no cluster does, that there was one once: the default
	// cluster is not missing then, but deleted.
	Settled bool `json:"settled,omitempty"`
}

func (r *rootManifest) version() int {
	if r.Settled {
		return manifestSettledVersion
	}
	return manifestVersion
}

func (r *rootManifest) newest() int { return manifestSettledVersion }

// brokerManifest is <data_dir>/<log_directory>/broker-<n>/cluster.json. It
// makes that directory broker n's, wherever it stands.
type brokerManifest struct {
	seal
	Broker int `json:"broker"`
	clusterManifest
}

// brokerDirName is the last element of a broker's directory.
func brokerDirName(broker int) string { return "broker-" + strconv.Itoa(broker) }

// manifests keeps the data directory's list of clusters. It is safe for
// concurrent use; changes are durable when a method returns. Every method
// does I/O, and none of it is on the hot path.
type manifests struct {
	dataDir        string
	disk           durable
	metadataQuorum MetadataQuorum

	mu       sync.Mutex
	clusters []clusterManifest
	settled  bool // a cluster was created here at some time
}

// brokerDir is where a broker of c belongs.
func (m *manifests) brokerDir(c clusterManifest, broker int) string {
	return filepath.Join(m.dataDir, c.LogDirectory, brokerDirName(broker))
}

// List returns the clusters, deleted ones not among them.
func (m *manifests) list() []clusterManifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.clusters)
}

// logDirectories are the log directories in use, for checkLogDirectory.
func (m *manifests) logDirectories() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	dirs := make([]string, 0, len(m.clusters))
	for _, c := range m.clusters {
		dirs = append(dirs, c.LogDirectory)
	}
	return dirs
}

// begin notes that c is being created and makes its brokers' directories. The
// caller then fills them (ledgers, first logs) and calls commit. After a crash
// in between nothing of c is left at the next start.
func (m *manifests) begin(c clusterManifest) error {
	c.Phase = clusterCreating
	if err := c.validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.clusters {
		if other.ID == c.ID || other.Name == c.Name {
			return fmt.Errorf("cluster %q (id %s) is there already", other.Name, other.ID)
		}
	}
	for n := 1; n <= c.NumBrokers; n++ {
		if err := absent(m.brokerDir(c, n)); err != nil {
			return fmt.Errorf("create cluster %q: %w", c.Name, err)
		}
	}
	if err := m.replaceRoot(append(slices.Clone(m.clusters), c)); err != nil {
		return fmt.Errorf("create cluster %q: %w", c.Name, err)
	}
	for n := 1; n <= c.NumBrokers; n++ {
		if err := m.disk.mkdirAll(m.dataDir, m.brokerDir(c, n)); err != nil {
			return errors.Join(fmt.Errorf("create cluster %q: %w", c.Name, err), m.finishRemoval(c.ID))
		}
	}
	return nil
}

// commit completes a creation: each broker's copy, then the root's entry.
func (m *manifests) commit(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return fmt.Errorf("commit cluster %s: no such cluster", id)
	}
	c := m.clusters[i]
	c.Phase = clusterCreated
	for n := 1; n <= c.NumBrokers; n++ {
		if err := m.writeCopy(c, n); err != nil {
			return fmt.Errorf("commit cluster %q: %w", c.Name, err)
		}
	}
	next := slices.Clone(m.clusters)
	next[i] = c
	return m.replaceRoot(next)
}

// abort undoes begin while the process lives on.
func (m *manifests) abort(id string) error { return m.remove(id) }

// Remove deletes a cluster, all its directories included: it is marked, then
// the directories go, then the entry. A crash in between is made good by
// loadManifests. A directory there that holds another identity is kept.
func (m *manifests) remove(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return fmt.Errorf("delete cluster %s: no such cluster", id)
	}
	next := slices.Clone(m.clusters)
	next[i].Phase = clusterDeleting
	if err := m.replaceRoot(next); err != nil {
		return fmt.Errorf("delete cluster %q: %w", next[i].Name, err)
	}
	return m.finishRemoval(id)
}

// finishRemoval continues after the mark.
func (m *manifests) finishRemoval(id string) error {
	i := m.find(id)
	c := m.clusters[i]
	for n := 1; n <= c.NumBrokers; n++ {
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
func (m *manifests) removeBrokerDir(c clusterManifest, n int) error {
	dir := m.brokerDir(c, n)
	var copyThere brokerManifest
	err := readSealed(filepath.Join(dir, manifestName), &copyThere)
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
func (m *manifests) removeEmptyParents(c clusterManifest) {
	for rel := filepath.Clean(c.LogDirectory); rel != "."; rel = filepath.Dir(rel) {
		path := filepath.Join(m.dataDir, rel)
		if info, err := os.Lstat(path); err != nil || !info.IsDir() || os.Remove(path) != nil {
			return
		}
	}
}

// renewBroker makes a fresh directory for a broker that was lost. Its place
// must be free (see replica.PutAside). Fill puts a new ledger there; the copy of the
// manifest is written last.
func (m *manifests) renewBroker(id string, broker int, fill func(dir string) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 || broker < 1 || broker > m.clusters[i].NumBrokers {
		return fmt.Errorf("renew broker %d of cluster %s: no such broker", broker, id)
	}
	c := m.clusters[i]
	dir := m.brokerDir(c, broker)
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

func (m *manifests) writeCopy(c clusterManifest, broker int) error {
	doc := &brokerManifest{Broker: broker, clusterManifest: c}
	return m.disk.writeSealed(filepath.Join(m.brokerDir(c, broker), manifestName), doc)
}

// replaceRoot writes the root manifest; memory follows the disk.
func (m *manifests) replaceRoot(next []clusterManifest) error {
	created := anyCreated(next)
	doc := &rootManifest{Clusters: next, Settled: m.settled && !created}
	if err := m.disk.writeSealed(filepath.Join(m.dataDir, manifestName), doc); err != nil {
		return err
	}
	m.clusters, m.settled = next, m.settled || created
	return nil
}

func anyCreated(clusters []clusterManifest) bool {
	return slices.ContainsFunc(clusters, func(c clusterManifest) bool { return c.Phase == clusterCreated })
}

// firstStart reports that no cluster has ever been created here.
func (m *manifests) firstStart() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.settled
}

func (m *manifests) find(id string) int {
	return slices.IndexFunc(m.clusters, func(c clusterManifest) bool { return c.ID == id })
}

// validate refuses a manifest that could not have been written by us.
func (c clusterManifest) validate() error {
	switch {
	case c.ID == "":
		return errors.New("cluster manifest: no id")
	case c.NumBrokers < 1 || c.NumBrokers > maxManifestBrokers:
		return fmt.Errorf("cluster manifest of %q: num_brokers %d, want 1-%d", c.Name, c.NumBrokers, maxManifestBrokers)
	case !filepath.IsLocal(c.LogDirectory) || filepath.Clean(c.LogDirectory) == ".":
		return fmt.Errorf("cluster manifest of %q: log_directory %q leaves the data directory", c.Name, c.LogDirectory)
	case c.Phase != clusterCreating && c.Phase != clusterCreated && c.Phase != clusterDeleting:
		return fmt.Errorf("cluster manifest of %q: unknown phase %q", c.Name, c.Phase)
	}
	return nil
}
