package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// fileFaults damage files, of the victim among the brokers.
type fileFaults struct{ *world }

// damageWhileDown ends the process, damages files of the victim, and starts it.
func (w fileFaults) damageWhileDown() error {
	return w.restart(func() error {
		if err := w.end(); err != nil {
			return err
		}
		return w.damage(1 + w.rnd.Intn(4))
	})
}

// damage damages so many log files of the victim, also of internal topics: it flips
// a bit or writes a block of zeros anywhere in the file.
func (w fileFaults) damage(files int) error {
	paths, err := filepath.Glob(filepath.Join(w.s.brokerDir(w.victim), "*-[0-9]", "*.log"))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for range files {
		if len(paths) == 0 {
			return nil
		}
		path := paths[w.rnd.Intn(len(paths))]
		if err := w.damageFile(path); err != nil && !errors.Is(err, os.ErrNotExist) { // retention may have removed the file
			return err
		}
	}
	return nil
}

func (w fileFaults) damageFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return errors.Join(err, f.Close())
	}
	at := w.rnd.Int63n(info.Size())
	if w.rnd.Intn(2) == 1 {
		return errors.Join(f.Close(), w.flipBit(path, at))
	}
	at = at / 4096 * 4096
	b := make([]byte, min(4096, info.Size()-at))
	_, err = f.WriteAt(b, at)
	fmt.Fprintf(w.s.log, "chaos: damaged %s: %d bytes at %d\n", path, len(b), at)
	return errors.Join(err, f.Close())
}

func (w fileFaults) flipBit(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	if _, err = f.ReadAt(b, at); err == nil {
		b[0] ^= 1 << w.rnd.Intn(8)
		_, err = f.WriteAt(b, at)
	}
	fmt.Fprintf(w.s.log, "chaos: damaged %s: a bit at %d\n", path, at)
	return errors.Join(err, f.Close())
}

// deletedDirectory removes the victim's directory while the process is down.
func (w fileFaults) deletedDirectory() error {
	if err := w.spare(w.victim); err != nil {
		return err
	}
	return w.restart(func() error {
		if err := w.end(); err != nil {
			return err
		}
		return os.RemoveAll(w.s.brokerDir(w.victim))
	})
}

// swappedDirectories exchanges the directories of two brokers.
func (w fileFaults) swappedDirectories() error {
	return w.restart(func() error {
		if err := w.end(); err != nil {
			return err
		}
		order := w.rnd.Perm(brokers)
		one, two, aside := w.s.brokerDir(order[0]+1), w.s.brokerDir(order[1]+1), filepath.Join(w.s.clusterDir(), "swap")
		return errors.Join(os.Rename(one, aside), os.Rename(two, one), os.Rename(aside, two))
	})
}

// outdatedDirectory takes a copy of the victim's directory, and the next time
// replaces the directory with that copy.
func (w fileFaults) outdatedDirectory() error {
	return w.restart(func() error {
		if err := w.end(); err != nil {
			return err
		}
		dir := w.s.brokerDir(w.victim)
		if w.backup == "" {
			w.backup = filepath.Join(w.o.dir, "backup")
			return program("cp", "-a", dir, w.backup)
		}
		backup := w.backup
		w.backup = ""
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return errors.Join(program("cp", "-a", backup, dir), os.RemoveAll(backup))
	})
}
