package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ottla/actors/level"
)

// PlaceState says what was found where a broker's directory belongs.
type PlaceState string

// The findings. All but PlaceOK count as lost.
const (
	PlaceOK        PlaceState = "ok"
	placeLost      PlaceState = "lost"      // no directory, or one without a manifest
	placeMisplaced PlaceState = "misplaced" // another broker's or another cluster's directory stands there
	placeDamaged   PlaceState = "damaged"   // its manifest cannot be read
	placeOutdated  PlaceState = "outdated"  // an older copy: a peer has seen a newer one
)

// Place is the finding about one broker's directory. Only one that is
// PlaceOK may be used; everything else counts as lost, and what stands in the
// way is kept (see Manifests.PutAside).
type Place struct {
	Broker    int
	Dir       string // where it belongs
	State     PlaceState
	Occupied  bool     // a directory stands there, whatever it holds
	Elsewhere []string // where else a manifest of this very broker was found
	Err       error    // why it is not ok
}

// ClusterPlaces is a cluster and where its brokers' directories are.
type ClusterPlaces struct {
	Manifest  ClusterManifest
	Brokers   []Place // broker 1 first
	Recovered bool    // the root manifest did not list it; its brokers' copies did
	Refused   error   // why it must not be started, nil if it may
}

// foundCopy is a broker manifest met below the data directory.
type foundCopy struct {
	dir string
	doc BrokerManifest
}

// Survey is what a walk of the data directory found: every broker manifest,
// wherever it stands.
type Survey struct {
	copies  []foundCopy
	damaged map[string]error // by directory
}

// Load reads <dataDir>/cluster.json and every broker's copy, brings
// them together, completes creations and deletions that a crash interrupted,
// and moves swapped broker directories home. Nothing is changed before all of
// them have been read and understood. Quorum judges what is left of a cluster's
// metadata.
//
// Errors: a damaged root manifest (*DamagedFileError), any file of a newer format
// (*NewerFormatError), copies that contradict each other, and that no cluster may
// be started.
//
// One cluster alone is refused (ClusterPlaces.Refused) if none of its brokers'
// directories is usable or its metadata has lost a majority: a disk is probably
// not mounted, and a new beginning would hide what is on it. It is refused as well
// if older copies of directories are needed for a majority.
func Load(dataDir string, quorum MetadataQuorum) (*Manifests, []ClusterPlaces, error) {
	return (&Manifests{dataDir: dataDir, metadataQuorum: quorum}).load()
}

// Inspect reads what Load reads and changes nothing. Errors:
// os.ErrNotExist where dataDir has no root manifest, and those of Load.
func Inspect(dataDir string) (*Manifests, Survey, error) {
	m := &Manifests{dataDir: dataDir}
	var root rootManifest
	if err := readSealed(filepath.Join(dataDir, ManifestName), &root); err != nil {
		return nil, Survey{}, err
	}
	for _, c := range root.Clusters {
		if err := c.validate(); err != nil {
			return nil, Survey{}, err
		}
	}
	found, err := m.survey()
	m.clusters, m.level = root.Clusters, root.Level
	return m, found, err
}

func (m *Manifests) load() (*Manifests, []ClusterPlaces, error) {
	var root rootManifest
	err := readSealed(filepath.Join(m.dataDir, ManifestName), &root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("load clusters: %w", err)
	}
	if root.Level > level.Newest {
		return nil, nil, fmt.Errorf("load clusters: %w", &NewerLevelError{Level: root.Level})
	}
	rootThere := err == nil
	for _, c := range root.Clusters {
		if err := c.validate(); err != nil {
			return nil, nil, fmt.Errorf("load clusters: %w", err)
		}
	}
	found, err := m.survey()
	if err != nil {
		return nil, nil, fmt.Errorf("load clusters: %w", err)
	}
	if err := m.syncNames(found); err != nil {
		return nil, nil, fmt.Errorf("load clusters: %w", err)
	}
	m.clusters, m.hadClusters, m.level = root.Clusters, root.HadClusters || anyCreated(root.Clusters), root.Level
	recovered, err := m.unlisted(found, rootThere)
	if err != nil {
		return nil, nil, fmt.Errorf("load clusters: %w", err)
	}
	if len(recovered) > 0 {
		if err := m.replaceRoot(append(slices.Clone(m.clusters), recovered...)); err != nil {
			return nil, nil, fmt.Errorf("recover clusters from their brokers' copies: %w", err)
		}
	}
	if err := m.completeInterrupted(&found); err != nil {
		return nil, nil, err
	}
	if err := m.moveHome(&found); err != nil {
		return nil, nil, err
	}
	places, err := m.places(found, recovered)
	return m, places, err
}

// syncNames makes durable what was found. A rename can be seen although its sync
// failed before the process was killed; a power cut would take it back, after
// something was deleted because of it.
func (m *Manifests) syncNames(found Survey) error {
	dirs := []string{m.dataDir}
	for _, f := range found.copies {
		dirs = append(dirs, f.dir, filepath.Dir(f.dir))
	}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		if err := m.disk.sync(dir); err != nil {
			return err
		}
	}
	return nil
}

// survey looks for broker manifests as deep as a log directory may reach. It
// does not follow symbolic links, and does not enter brokers' directories.
func (m *Manifests) survey() (Survey, error) {
	s := Survey{damaged: map[string]error{}}
	err := filepath.WalkDir(m.dataDir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return s.unreadable(m.dataDir, path, err)
		case !d.IsDir() || path == m.dataDir:
			return nil
		case depth(m.dataDir, path) > maxLogDirectoryDepth+1:
			return filepath.SkipDir
		}
		return s.look(path)
	})
	return s, err
}

// unreadable notes a directory that cannot be listed: it counts as damaged,
// not as absent. The data directory itself has to be readable.
func (s *Survey) unreadable(dataDir, path string, err error) error {
	if path == dataDir {
		return err
	}
	if _, known := s.damaged[path]; !known {
		s.damaged[path] = err
	}
	return filepath.SkipDir
}

// CheckBrokerDir reads a broker's copy of the manifest. Errors: it cannot be
// read, or says that the directory is another broker's.
func CheckBrokerDir(dir, clusterID string, broker int) error {
	var doc BrokerManifest
	if err := readSealed(filepath.Join(dir, ManifestName), &doc); err != nil {
		return err
	}
	if doc.ID != clusterID || doc.Broker != broker {
		return fmt.Errorf("it is of broker %d of cluster %s", doc.Broker, doc.ID)
	}
	return nil
}

func (s *Survey) look(dir string) error {
	var doc BrokerManifest
	err := readSealed(filepath.Join(dir, ManifestName), &doc)
	var newer *NewerFormatError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case errors.As(err, &newer):
		return err
	case err == nil && (doc.Broker < 1 || doc.Broker > doc.NumBrokers):
		err = fmt.Errorf("it names broker %d of %d", doc.Broker, doc.NumBrokers)
	case err == nil:
		err = doc.validate()
	}
	var damaged *DamagedFileError
	if err != nil && !errors.As(err, &damaged) {
		err = &DamagedFileError{Path: filepath.Join(dir, ManifestName), Err: err}
	}
	if err != nil {
		s.damaged[dir] = err
		return filepath.SkipDir
	}
	s.copies = append(s.copies, foundCopy{dir: dir, doc: doc})
	return filepath.SkipDir
}

func depth(root, path string) int {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return 0
	}
	return strings.Count(rel, string(filepath.Separator)) + 1
}

// unlisted returns the clusters that only their brokers' copies know of.
// Copies of one cluster have to agree, with each other and with the list, but for the
// number of brokers: that may have changed since they were written.
// Beside a root manifest only a copy in its own place counts: others may be
// backups of clusters deleted since. Without a root manifest an unreadable copy
// is an error, unless it stands in the place of a broker that is known: it may be
// all that is left of a cluster.
func (m *Manifests) unlisted(found Survey, rootThere bool) ([]ClusterManifest, error) {
	all := slices.Clone(m.clusters)
	for _, f := range found.copies {
		c := f.doc.ClusterManifest
		i := slices.IndexFunc(all, func(o ClusterManifest) bool { return o.ID == c.ID })
		switch {
		case i >= 0 && !sameCluster(all[i], c):
			return nil, fmt.Errorf("%s contradicts what else is known of cluster %s (%q)",
				filepath.Join(f.dir, ManifestName), c.ID, all[i].Name)
		case i >= len(m.clusters) && c.NumBrokers > all[i].NumBrokers: // the newest of those that are all there is
			all[i] = c
			continue
		case i >= 0 || rootThere && f.dir != m.BrokerDir(c, f.doc.Broker):
			continue
		}
		if o, ok := colliding(all, c); ok {
			return nil, fmt.Errorf("%s is of a cluster %s (%q) that collides with cluster %s (%q, %s); move one of them away",
				f.dir, c.ID, c.Name, o.ID, o.Name, o.LogDirectory)
		}
		all = append(all, c)
	}
	homes := m.homes(all)
	for dir, err := range found.damaged {
		var damaged *DamagedFileError
		if _, isHome := homes[dir]; !rootThere && errors.As(err, &damaged) && !isHome {
			return nil, fmt.Errorf("no %s in the data directory to say what this is: %w", ManifestName, err)
		}
	}
	return all[len(m.clusters):], nil
}

func colliding(all []ClusterManifest, c ClusterManifest) (ClusterManifest, bool) {
	i := slices.IndexFunc(all, func(o ClusterManifest) bool {
		return o.Name == c.Name || within(o.LogDirectory, c.LogDirectory) || within(c.LogDirectory, o.LogDirectory)
	})
	if i < 0 {
		return ClusterManifest{}, false
	}
	return all[i], true
}

func sameCluster(a, b ClusterManifest) bool {
	return a.ID == b.ID && a.Name == b.Name && a.LogDirectory == b.LogDirectory &&
		a.Fsync == b.Fsync && a.CreatedAt.Equal(b.CreatedAt) && slices.Equal(a.Voters, b.Voters)
}

// completeInterrupted goes on where a crash stopped a creation or a deletion. A
// creation that got as far as a broker's copy of the manifest, the last step but
// the root's entry, is completed: all that it needs is there. Any other is undone.
func (m *Manifests) completeInterrupted(found *Survey) error {
	for _, c := range slices.Clone(m.clusters) {
		var err error
		switch {
		case c.Phase == Created:
		case c.Phase == Creating && len(c.Nodes) > 0: // the fleet knows what becomes of it
		case c.Phase == Creating && hasCopy(found, c.ID):
			err = m.completeCreation(found, c)
		default:
			err = m.finishRemoval(c.ID)
		}
		if err != nil {
			return fmt.Errorf("complete what was begun with cluster %q (%s): %w", c.Name, c.Phase, err)
		}
	}
	return nil
}

// completeCreation writes the copies that a crash kept from being written:
// without them, brokers that have everything would pass for lost.
func (m *Manifests) completeCreation(found *Survey, c ClusterManifest) error {
	c.Phase = Created
	for _, n := range c.Brokers() {
		dir := m.BrokerDir(c, n)
		if err := absent(filepath.Join(dir, ManifestName)); err != nil {
			continue // it is there, or Place says what is wrong
		}
		if _, err := ReadLedger(dir, c.ID, n); err != nil {
			continue
		}
		if err := m.writeCopy(c, n); err != nil {
			return err
		}
		found.copies = append(found.copies, foundCopy{dir: dir, doc: BrokerManifest{Broker: n, ClusterManifest: c}})
	}
	next := slices.Clone(m.clusters)
	next[m.find(c.ID)] = c
	return m.replaceRoot(next)
}

func hasCopy(found *Survey, id string) bool {
	return slices.ContainsFunc(found.copies, func(f foundCopy) bool { return f.doc.ID == id })
}

// places says of every broker's directory of every cluster what state it is in.
func (m *Manifests) places(found Survey, recovered []ClusterManifest) ([]ClusterPlaces, error) {
	var all []ClusterPlaces
	var refused []error
	var newer *NewerFormatError
	for _, c := range m.clusters {
		if c.Phase != Created {
			continue // the node makes what is missing once the fleet says so
		}
		p := ClusterPlaces{Manifest: c}
		p.Recovered = slices.ContainsFunc(recovered, func(r ClusterManifest) bool { return r.ID == c.ID })
		usable := false
		for _, n := range c.Brokers() {
			place := m.Place(found, c, n)
			usable = usable || place.State == PlaceOK
			p.Brokers = append(p.Brokers, place)
		}
		if !usable && len(c.Nodes) == 0 {
			p.Refused = noBrokerError(c, p.Brokers)
		} else if p.Refused = m.checkAges(&p); errors.As(p.Refused, &newer) {
			return nil, p.Refused
		}
		if p.Refused != nil {
			refused = append(refused, p.Refused)
		}
		all = append(all, p)
	}
	if len(refused) > 0 && len(refused) == len(all) {
		return all, errors.Join(refused...)
	}
	return all, nil
}

// Place says what state broker n's directory is in, by what the survey found. It
// does not compare counts; see IsOldCopy.
func (m *Manifests) Place(found Survey, c ClusterManifest, n int) Place {
	p := Place{Broker: n, Dir: m.BrokerDir(c, n), State: placeLost, Err: errors.New("no directory")}
	if _, err := os.Lstat(p.Dir); !errors.Is(err, os.ErrNotExist) {
		p.Occupied, p.Err = true, errors.New("no "+ManifestName+" in it")
	}
	if err, ok := found.damaged[p.Dir]; ok {
		p.State, p.Err = placeDamaged, err
	}
	for _, f := range found.copies {
		own := f.doc.ID == c.ID && f.doc.Broker == n
		switch {
		case f.dir == p.Dir && own:
			p.State, p.Err = PlaceOK, nil
		case f.dir == p.Dir:
			p.State = placeMisplaced
			p.Err = fmt.Errorf("it belongs to broker %d of cluster %q (%s)", f.doc.Broker, f.doc.Name, f.doc.ID)
		case own:
			p.Elsewhere = append(p.Elsewhere, f.dir)
		}
	}
	return p
}

func noBrokerError(c ClusterManifest, brokers []Place) error {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %q (%s): none of its %d broker directories is usable; is a disk not mounted?", c.Name, c.ID, c.NumBrokers)
	describePlaces(&b, brokers)
	return errors.New(b.String())
}
