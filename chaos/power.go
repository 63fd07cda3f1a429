package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// volume is an ext4 image on a loop device. Its file system writes nothing by
// itself for a long time (commit=1000), so what its image holds at any instant
// is what was synced, and little else: a copy of the image, taken while the
// broker is frozen, is the disk after a power cut.
type volume struct {
	dir   string // of images
	n     int
	mount string
}

// errNeedsRoot explains why power cuts cannot be had.
var errNeedsRoot = errors.New("power cuts need root, mkfs.ext4 and loop devices")

func newVolume(dir string) (*volume, error) {
	if os.Geteuid() != 0 {
		return nil, errNeedsRoot
	}
	v := &volume{dir: dir, mount: filepath.Join(dir, "mount")}
	if err := os.MkdirAll(v.mount, 0o755); err != nil {
		return nil, err
	}
	image := v.image()
	f, err := os.Create(image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(1<<30), f.Close()); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image); err != nil {
		return nil, fmt.Errorf("%w: %w", errNeedsRoot, err)
	}
	if err := v.attach(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNeedsRoot, err)
	}
	return v, nil
}

func (v *volume) image() string { return filepath.Join(v.dir, fmt.Sprintf("disk-%d.img", v.n)) }

func (v *volume) attach() error {
	return command("mount", "-o", "loop,commit=1000", v.image(), v.mount)
}

func (v *volume) detach() error { return command("umount", v.mount) }

// cut freezes the broker, takes the image as it is, ends the broker, and mounts
// the copy in place of the original.
func (v *volume) cut(s *server) error {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	old := v.image()
	v.n++
	s.boots++ // after a power cut the machine boots: the log tells torn tails from damage by that
	if err := command("cp", "--sparse=always", old, v.image()); err != nil {
		return err
	}
	if err := s.kill(); err != nil {
		return err
	}
	if err := v.detach(); err != nil {
		return err
	}
	if err := os.Remove(old); err != nil {
		return err
	}
	return v.attach()
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
