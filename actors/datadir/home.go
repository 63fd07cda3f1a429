package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// asideMark separates a directory's old name from a number in the name it gets
// when it is put aside. Such a directory is kept for people: nothing here deletes
// it.
const asideMark = ".aside-"

// PutAside renames the directory in a broker's place to dir.aside-N, so that a new
// one can be made there, and returns its new path.
func (m *Manifests) PutAside(dir string) (string, error) {
	for n := 1; n < 10000; n++ {
		to := dir + asideMark + strconv.Itoa(n)
		_, err := os.Lstat(to)
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("put %s aside: %w", dir, err)
		}
		if err := m.disk.rename(dir, to); err != nil {
			return "", fmt.Errorf("put %s aside: %w", dir, err)
		}
		return to, nil
	}
	return "", fmt.Errorf("put %s aside: 9999 directories were put aside before it: remove some of them", dir)
}

// moveHome undoes a swap of broker directories. A directory that stands in
// another broker's place, or was put aside from there, goes where its own
// manifest says it belongs, if that place is empty or is wrongly taken itself, and
// no second directory has the same identity. What the operator renamed to
// something else is left alone. After a crash between two renames the next start
// goes on.
func (m *Manifests) moveHome(found *Survey) error {
	homes := m.homes(m.clusters)
	var moving []int
	for i, f := range found.copies {
		if m.strayed(found, homes, f) {
			moving = append(moving, i)
		}
	}
	for _, i := range moving {
		f := &found.copies[i]
		if _, isHome := homes[f.dir]; !isHome {
			continue // aside already
		}
		to, err := m.PutAside(f.dir)
		if err != nil {
			return err
		}
		f.dir = to
	}
	for _, i := range moving {
		f := &found.copies[i]
		home := m.BrokerDir(f.doc.ClusterManifest, f.doc.Broker)
		if _, err := os.Lstat(home); !errors.Is(err, os.ErrNotExist) {
			continue // something without a manifest stands there; it is reported as lost
		}
		if err := m.disk.mkdirAll(m.dataDir, filepath.Dir(home)); err != nil {
			return fmt.Errorf("move %s home: %w", f.dir, err)
		}
		if err := m.disk.rename(f.dir, home); err != nil {
			return fmt.Errorf("move %s home: %w", f.dir, err)
		}
		f.dir = home
	}
	return nil
}

// owner is the broker that a path is the place of.
type owner struct {
	cluster string // id
	broker  int
}

// homes are the places of all brokers' directories, by path.
func (m *Manifests) homes(clusters []ClusterManifest) map[string]owner {
	homes := map[string]owner{}
	for _, c := range clusters {
		for _, n := range c.Brokers() {
			homes[m.BrokerDir(c, n)] = owner{cluster: c.ID, broker: n}
		}
	}
	return homes
}

// strayed reports whether f is to be moved home.
func (m *Manifests) strayed(found *Survey, homes map[string]owner, f foundCopy) bool {
	stands := f.dir
	if i := strings.LastIndex(stands, asideMark); i >= 0 {
		stands = stands[:i]
	}
	o, isHome := homes[stands]
	mine := o.cluster == f.doc.ID && o.broker == f.doc.Broker
	if !isHome || mine || m.find(f.doc.ID) < 0 {
		return false
	}
	return !slices.ContainsFunc(found.copies, func(g foundCopy) bool {
		return g.dir != f.dir && g.doc.ID == f.doc.ID && g.doc.Broker == f.doc.Broker
	})
}
