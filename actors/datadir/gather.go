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
	"strconv"
	"strings"
	"time"
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
	// Moved are partitions of brokers that were on their way when the fleet was lost: those
	// that had moved already, by the directory of the broker where it arrives.
	Moved map[string][]string

	manifest ClusterManifest
	in       []string // the data directories
	opens    map[int]uint64
	arriving map[int][]string // directories of brokers to which these were on their way
	moved    map[int][]movedReplica
}

// movedReplica is a replica that is not in the directory of its broker, but in the one where
// that arrives.
type movedReplica struct {
	Replica
	from   string
	before *Replica // in whose place it came, where that is still there
}

// TookPlace reports whether a replica that is in the directory where a broker arrives has
// taken the place of the one in the directory where it was: the group is without that.
type TookPlace func(cluster string, broker int, was string, before Replica, arrives string, r Replica) bool

// Gather looks for clusters in the data directories of nodes of one fleet, whose processes
// have ended. Hidden is the name of the fleet's own cluster, which is of no use without the
// fleet. Of a broker that is in two of them, as while it moves, the directory counts that is
// where the broker was, else the one that was opened more often; and of the one where it
// arrives what had moved already. Errors: a directory is none of a node, or of another
// fleet, or one of a node that is there already; two clusters have one name or directory; a
// manifest is damaged or newer than this program.
func Gather(dirs []string, hidden string, tookPlace TookPlace) (*Gathering, error) {
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
				known[c.ID] = newGathered(c)
			}
			known[c.ID].add(m, found, c)
		}
	}
	g.Clusters = slices.SortedFunc(maps.Values(known), func(a, b *Gathered) int { return cmp.Compare(a.Name, b.Name) })
	var manifests []ClusterManifest
	for _, c := range g.Clusters {
		if o, ok := colliding(manifests, c.manifest); ok {
			return nil, fmt.Errorf("these are two clusters of one name or log directory, as when one was deleted while a node was away:"+
				" %q (id %s, created %s, in %s) and %q (id %s, created %s, in %s): leave out the directories that have the one that is of no use",
				o.Name, o.ID, o.CreatedAt.Format(time.RFC3339), strings.Join(known[o.ID].in, ", "),
				c.Name, c.manifest.ID, c.manifest.CreatedAt.Format(time.RFC3339), strings.Join(c.in, ", "))
		}
		manifests = append(manifests, c.manifest)
		if err := c.findMoved(tookPlace); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func newGathered(c ClusterManifest) *Gathered {
	return &Gathered{
		Name: c.Name, manifest: c, From: map[int]string{}, Moved: map[string][]string{},
		opens: map[int]uint64{}, arriving: map[int][]string{}, moved: map[int][]movedReplica{},
	}
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
	c.in = append(c.in, m.dataDir)
	for _, n := range here.Brokers() {
		place := m.Place(found, here, n)
		l, err := ReadLedger(place.Dir, here.ID, n)
		if place.State != PlaceOK || err != nil {
			continue // it is as good as lost
		}
		opens := l.OpenCount()
		if _, arriving := here.Arriving[n]; arriving && !slices.Contains(here.Local, n) {
			opens = 0 // what it lacks yet is where it came from
			c.arriving[n] = append(c.arriving[n], place.Dir)
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

// findMoved looks for what had moved already of brokers that were on their way.
func (c *Gathered) findMoved(tookPlace TookPlace) error {
	for n, dirs := range c.arriving {
		have, err := ReadLedger(c.From[n], c.manifest.ID, n)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if dir == c.From[n] {
				continue
			}
			there, err := ReadLedger(dir, c.manifest.ID, n)
			if err != nil {
				return err
			}
			c.addMoved(n, have, dir, there, tookPlace)
			c.Left = slices.DeleteFunc(c.Left, func(left string) bool { return left == dir && len(c.Moved[dir]) > 0 })
		}
	}
	return nil
}

func (c *Gathered) addMoved(n int, have *Ledger, dir string, there *Ledger, tookPlace TookPlace) {
	for _, r := range there.Replicas() {
		if _, known := have.at[r.Key()]; known || r.State != ReplicaLive {
			continue
		}
		next := movedReplica{Replica: r, from: dir}
		if before, ok := have.Live(r.TopicID, r.Partition); ok {
			if !tookPlace(c.manifest.ID, n, c.From[n], before, dir, r) {
				continue // it was catching up
			}
			next.before = &before
		}
		same := func(m movedReplica) bool { return m.Topic == r.Topic && m.Partition == r.Partition }
		other := func(x Replica) bool {
			return x.State == ReplicaLive && x.TopicID != r.TopicID && same(movedReplica{Replica: x})
		}
		if slices.ContainsFunc(c.moved[n], same) || slices.ContainsFunc(have.Replicas(), other) {
			continue // of a topic that was deleted, and made again
		}
		c.moved[n] = append(c.moved[n], next)
		c.Moved[dir] = append(c.Moved[dir], logDirName(r))
	}
}

func logDirName(r Replica) string { return r.Topic + "-" + strconv.Itoa(r.Partition) }

// CopyTo copies the directories of all brokers into a data directory that is to be made, and
// has them be those of a process that is alone; it is complete once it has the list of
// clusters, which is written last. Errors: it exists and is not empty, the disk fails.
func (g *Gathering) CopyTo(dataDir string) error { return g.bring(dataDir, copyTree) }

// Outline makes what looks like that data directory: the logs in it are those of the
// directories themselves, so nothing may be changed in it. It is of use to see what CopyTo
// would bring together. Errors: those of CopyTo.
func (g *Gathering) Outline(dataDir string) error {
	return g.bring(dataDir, func(from, to string) error {
		from, err := filepath.Abs(from)
		if err != nil {
			return err
		}
		return os.Symlink(from, to)
	})
}

// bring makes the data directory; tree makes a directory below one of a broker.
func (g *Gathering) bring(dataDir string, tree func(from, to string) error) error {
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
			if err := c.bringBroker(n, to, tree); err != nil {
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

// bringBroker makes a broker's directory. It is marked: what the metadata has of the broker
// may be in no directory that is left, as where it was on its way.
func (c *Gathered) bringBroker(n int, to string, tree func(from, to string) error) error {
	if err := os.MkdirAll(to, 0o750); err != nil {
		return err
	}
	moved := map[string]bool{}
	for i := range c.moved[n] {
		moved[logDirName(c.moved[n][i].Replica)] = true
	}
	entries, err := os.ReadDir(c.From[n])
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, at := filepath.Join(c.From[n], e.Name()), filepath.Join(to, e.Name())
		switch {
		case moved[e.Name()]: // what is left of it
		case e.IsDir():
			err = tree(from, at)
		default:
			err = copyFile(from, at)
		}
		if err != nil {
			return err
		}
	}
	l, err := ReadLedger(to, c.manifest.ID, n)
	if err != nil {
		return err
	}
	for i := range c.moved[n] {
		r := &c.moved[n][i]
		if err := tree(filepath.Join(r.from, logDirName(r.Replica)), filepath.Join(to, logDirName(r.Replica))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if r.before != nil {
			if err := l.Mark(ReplicaLost, r.before.Key()); err != nil {
				return err
			}
		}
		if err := l.Add(r.Replica); err != nil {
			return err
		}
	}
	return MarkReplacesLost(to, "brought together from nodes of a fleet")
}

// copyFile copies a file durably, once its directory is synced.
func copyFile(from, to string) error {
	content, err := os.ReadFile(from) // a broker's own
	if err != nil {
		return err
	}
	return writeSynced(to, content)
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
