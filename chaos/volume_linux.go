package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// volume is an ext4 image on a loop device. Its filesystem writes nothing by itself
// for a long time (commit=1000), so at any instant the image holds what was synced
// and little else: a copy of the image, taken while the broker is frozen, is the
// disk after a power cut. It is small enough to be filled quickly.
type volume struct {
	dir   string // of images
	n     int
	mount string
}

const volumeBytes = 2 << 30

// newVolume mounts a new image. Images are files in images, the mount point is in
// dir.
func newVolume(dir, images string) (*volume, error) {
	if os.Geteuid() != 0 {
		return nil, &missingError{"mounting a disk image needs root"}
	}
	v := &volume{dir: images, mount: filepath.Join(dir, "mount")}
	if err := os.MkdirAll(v.mount, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(v.image())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(volumeBytes), f.Close()); err != nil {
		return nil, err
	}
	if err := program("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", v.image()); err != nil {
		return nil, errors.Join(&missingError{"mkfs.ext4: " + err.Error()}, os.Remove(v.image()))
	}
	if err := v.attach(); err != nil {
		return nil, errors.Join(&missingError{"loop devices: " + err.Error()}, os.Remove(v.image()))
	}
	return v, nil
}

func (v *volume) image() string { return filepath.Join(v.dir, fmt.Sprintf("disk-%d.img", v.n)) }

func (v *volume) attach() error {
	return program("mount", "-o", "loop,commit=1000", v.image(), v.mount)
}

// detach unmounts the image, and removes it unless keep is set.
func (v *volume) detach(keep bool) error {
	err := program("umount", v.mount)
	if err == nil && !keep {
		err = os.RemoveAll(v.dir)
	}
	return err
}

// cut freezes the broker, copies the image, kills the broker, and mounts the copy
// in place of the original.
func (v *volume) cut(s *server) error {
	if err := s.freeze(); err != nil {
		return err
	}
	old := v.image()
	v.n++
	s.boots++ // after a power cut the machine boots; recovery distinguishes torn tails from damage by the boot id
	if err := program("cp", "--sparse=always", old, v.image()); err != nil {
		return err
	}
	if err := s.kill(); err != nil {
		return err
	}
	if err := program("umount", v.mount); err != nil {
		return err
	}
	if err := os.Remove(old); err != nil {
		return err
	}
	return v.attach()
}

// ballast is the file that fills the disk.
func (v *volume) ballast() string { return filepath.Join(v.mount, "ballast") }

// fill fills the disk so that about leave bytes are free.
func (v *volume) fill(leave int64) error {
	f, err := os.Create(v.ballast())
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err = unix.Statfs(v.mount, &fs); err == nil {
		size := int64(fs.Bavail)*fs.Bsize - leave
		for err = unix.Fallocate(int(f.Fd()), 0, 0, max(1, size)); errors.Is(err, unix.ENOSPC) && size > 1<<20; {
			size -= 1 << 20 // the block map of the file takes space too, and the broker goes on writing
			err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		}
		if errors.Is(err, unix.ENOSPC) {
			err = nil // the disk is fuller than asked for
		}
	}
	return errors.Join(err, f.Close())
}

// free makes space again.
func (v *volume) free() error { return os.Remove(v.ballast()) }

// freeze stops all threads of the broker and returns when the last one has left the
// kernel: none of its writes is under way then.
func (s *server) freeze() error {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for !s.frozen() {
		if time.Now().After(deadline) {
			return errors.New("freeze: some thread does not stop")
		}
	}
	return nil
}

func (s *server) frozen() bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		return true // there is no /proc
	}
	for _, t := range tasks {
		stat, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		if i := bytes.LastIndexByte(stat, ')'); i > 0 && len(stat) > i+2 && stat[i+2] != 'T' {
			return false
		}
	}
	return true
}

// imageDir makes a directory for images, in memory where there is space: that makes
// the disk of the campaign faster and changes nothing else.
func imageDir(o *options) (string, error) {
	parent := o.images
	if parent == "" {
		parent = o.dir
		var fs unix.Statfs_t
		if unix.Statfs("/dev/shm", &fs) == nil && int64(fs.Bavail)*fs.Bsize > 3*volumeBytes {
			parent = "/dev/shm"
		}
	}
	return os.MkdirTemp(parent, "ottla-chaos-")
}
