package datadir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Gathering is what is left of a fleet's clusters in the data directories of some of its
// nodes, to be brought together in the data directory of a process that is alone. Nothing
// of the directories is changed.
type Gathering struct {
	Clusters []*Gathered // by name
	Members  []Founder   // of the fleet, as far as any of the directories knew
	nodes    map[string]uint64
	level    int
}

// Gathered is one cluster of a Gathering.
type Gathered struct {
	Name    string
	Brokers int            // that it had
	From    map[int]string // the directory of each broker that is left
	Left    []string       // directories of brokers of which a newer one is there

	manifest ClusterManifest
	opens    map[int]uint64
}

// Gather looks for clusters in the data directories of nodes of one fleet, whose processes
// have ended. Hidden is the name of the fleet's own cluster, which is of no use without the
// fleet. Of a broker that is in two of them, as while it moves, the directory counts that is
// where the broker was, else the one that was opened more often. Errors: a directory is none
// of a node, or of another fleet, or one of a node that is there already; a manifest is
// damaged or newer than this program.
func Gather(dirs []string, hidden string) (*Gathering, error) {
	g := &Gathering{nodes: map[string]uint64{}}
	fleet, known := "", map[string]*Gathered{}
	for _, dir := range dirs {
		n, err := ReadNode(dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("%s is no data directory of a node of a fleet: it has no %s", dir, nodeName)
		case err != nil:
			return nil, err
		case fleet != "" && n.Fleet != fleet:
			return nil, fmt.Errorf("%s is of fleet %s, others are of %s", dir, n.Fleet, fleet)
		}
		for other, node := range g.nodes {
			if node == n.Node {
				return nil, fmt.Errorf("%s and %s are both of node %d: name the newer one only", other, dir, node)
			}
		}
		fleet, g.nodes[dir] = n.Fleet, n.Node
		if err := g.addMembers(dir, n); err != nil {
			return nil, err
		}
		m, found, err := Inspect(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // it never got a broker
		}
		if err != nil {
			return nil, err
		}
		g.level = max(g.level, m.level)
		for _, c := range m.List() {
			if c.Phase != Created || c.Name == hidden {
				continue
			}
			if known[c.ID] == nil {
				known[c.ID] = &Gathered{Name: c.Name, manifest: c, From: map[int]string{}, opens: map[int]uint64{}}
			}
			known[c.ID].add(m, found, c)
		}
	}
	g.Clusters = slices.SortedFunc(maps.Values(known), func(a, b *Gathered) int { return cmp.Compare(a.Name, b.Name) })
	return g, nil
}

// addMembers notes the nodes that a directory knew of.
func (g *Gathering) addMembers(dir string, n *Node) error {
	written, err := ReadMembers(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, f := range slices.Concat(written, n.Founding.Founders) {
		if !slices.ContainsFunc(g.Members, func(m Founder) bool { return m.Node == f.Node && m.Link == f.Link }) {
			g.Members = append(g.Members, f)
		}
	}
	return nil
}

func (c *Gathered) add(m *Manifests, found Survey, here ClusterManifest) {
	c.Brokers = max(c.Brokers, here.NumBrokers)
	c.manifest.NumBrokers = c.Brokers
	for _, n := range here.Brokers() {
		place := m.Place(found, here, n)
		l, err := ReadLedger(place.Dir, here.ID, n)
		if place.State != PlaceOK || err != nil {
			continue // it is as good as lost
		}
		opens := l.OpenCount()
		if _, arriving := here.Arriving[n]; arriving && !slices.Contains(here.Local, n) {
			opens = 0 // what it lacks yet is where it came from
		}
		switch have := c.From[n]; {
		case have == "":
		case opens > c.opens[n]:
			c.Left = append(c.Left, have)
		default:
			c.Left = append(c.Left, place.Dir)
			continue
		}
		c.From[n], c.opens[n] = place.Dir, opens
	}
}

// CopyTo copies the directories of all brokers into a data directory that is to be made, and
// has them be those of a process that is alone; it is complete once it has the list of
// clusters, which is written last. Errors: it exists and is not empty, the disk fails.
func (g *Gathering) CopyTo(dataDir string) error {
	if entries, err := os.ReadDir(dataDir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", dataDir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dataDir, 0o750); err != nil {
		return err
	}
	m := &Manifests{dataDir: dataDir, level: g.level, hadClusters: true}
	var clusters []ClusterManifest
	for _, c := range g.Clusters {
		alone := c.manifest
		alone.Nodes, alone.Local, alone.Arriving = nil, nil, nil
		clusters = append(clusters, alone)
		for _, n := range slices.Sorted(maps.Keys(c.From)) {
			to := m.BrokerDir(alone, n)
			if err := copyTree(c.From[n], to); err != nil {
				return fmt.Errorf("copy %s: %w", c.From[n], err)
			}
			if err := m.disk.writeSealed(filepath.Join(to, ManifestName), &BrokerManifest{Broker: n, ClusterManifest: alone}); err != nil {
				return fmt.Errorf("copy %s: %w", c.From[n], err)
			}
		}
		if err := m.disk.sync(filepath.Join(dataDir, alone.LogDirectory)); err != nil {
			return err
		}
	}
	return m.replaceRoot(clusters)
}

// copyTree copies a directory durably.
func copyTree(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path) //nolint:gosec // what was just written
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
