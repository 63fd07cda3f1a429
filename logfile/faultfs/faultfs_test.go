package faultfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// disk is a durable directory /d, with a way to fail tests in short.
type disk struct {
	*faultfs.FS
	t *testing.T
}

func newDisk(t *testing.T) disk {
	d := disk{faultfs.New(), t}
	require.NoError(t, d.MkdirAll("/d", 0o755))
	require.NoError(t, d.SyncDir("/"))
	return d
}

func (d disk) create(name, text string) logfile.Handle {
	d.t.Helper()
	h, err := d.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	require.NoError(d.t, err)
	d.write(h, text, 0)
	return h
}

func (d disk) write(h logfile.Handle, text string, at int64) {
	d.t.Helper()
	_, err := h.WriteAt([]byte(text), at)
	require.NoError(d.t, err)
}

// durable makes a file with synced content and a synced name.
func (d disk) durable(name, text string) logfile.Handle {
	d.t.Helper()
	h := d.create(name, text)
	require.NoError(d.t, h.Datasync())
	require.NoError(d.t, d.SyncDir("/d"))
	return h
}

// content is what a file holds, "-" if there is none.
func (d disk) content(name string) string {
	b, err := d.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	require.NoError(d.t, err)
	return string(b)
}

// TestPowerCut: what a power cut leaves when nothing unsynced survives, and what
// it may leave at all.
func TestPowerCut(t *testing.T) {
	for name, row := range map[string]struct {
		do    func(d disk)
		path  string
		least string   // when nothing unsynced survives
		may   []string // what else may be there
	}{
		"synced content, synced name": {func(d disk) { d.durable("/d/a", "one") }, "/d/a", "one", nil},
		"synced content, name not synced": {func(d disk) {
			require.NoError(d.t, d.create("/d/a", "one").Datasync())
		}, "/d/a", "-", []string{"one"}},
		"name synced, content not": {func(d disk) {
			d.create("/d/a", "one")
			require.NoError(d.t, d.SyncDir("/d"))
		}, "/d/a", "", []string{"o", "on", "one", "\x00", "\x00\x00", "\x00\x00\x00"}},
		"overwritten": {func(d disk) { d.write(d.durable("/d/a", "one"), "two", 0) }, "/d/a", "one", []string{"two"}},
		"overwritten and synced": {func(d disk) {
			h := d.durable("/d/a", "one")
			d.write(h, "two", 0)
			require.NoError(d.t, h.Datasync())
		}, "/d/a", "two", nil},
		"truncated": {
			func(d disk) { require.NoError(d.t, d.durable("/d/a", "one").Truncate(1)) }, "/d/a", "one",
			[]string{"o", "on", "o\x00", "o\x00\x00"},
		},
		"removed": {func(d disk) {
			d.durable("/d/a", "one")
			require.NoError(d.t, d.Remove("/d/a"))
		}, "/d/a", "one", []string{"-"}},
		"removed, and that is synced": {func(d disk) {
			d.durable("/d/a", "one")
			require.NoError(d.t, d.Remove("/d/a"))
			require.NoError(d.t, d.SyncDir("/d"))
		}, "/d/a", "-", nil},
		"replaced by a rename": {func(d disk) {
			d.durable("/d/a", "one")
			d.durable("/d/b", "two")
			require.NoError(d.t, d.Rename("/d/b", "/d/a"))
		}, "/d/a", "one", []string{"two"}},
		"renamed, and that is synced": {func(d disk) {
			d.durable("/d/b", "two")
			require.NoError(d.t, d.Rename("/d/b", "/d/a"))
			require.NoError(d.t, d.SyncDir("/d"))
		}, "/d/a", "two", nil},
		"in a directory that is not durable": {func(d disk) {
			require.NoError(d.t, d.MkdirAll("/d/e", 0o755))
			require.NoError(d.t, d.create("/d/e/a", "one").Datasync())
			require.NoError(d.t, d.SyncDir("/d/e"))
		}, "/d/e/a", "-", []string{"one"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			row.do(d)
			before := d.content(row.path)
			d.Restart()
			require.Equal(t, before, d.content(row.path), "kill -9 loses nothing")
			seen := map[string]bool{}
			for seed := range int64(200) {
				cut := disk{d.Clone(), t}
				cut.PowerCut(rand.New(rand.NewSource(seed)))
				got := cut.content(row.path)
				require.Contains(t, append(row.may, row.least), got)
				seen[got] = true
			}
			for _, may := range row.may {
				if !strings.Contains(may, "\x00") && len(may) != 2 {
					assert.True(t, seen[may], "%q never happens", may)
				}
			}
			d.PowerCut(nil)
			assert.Equal(t, row.least, d.content(row.path))
		})
	}
}

// A rename happens or does not: in no power cut is the file there twice, or gone.
func TestPowerCutKeepsRenamesWhole(t *testing.T) {
	for seed := range int64(300) {
		d := newDisk(t)
		d.durable("/d/a", "one")
		require.NoError(t, d.Rename("/d/a", "/d/b"))
		d.PowerCut(rand.New(rand.NewSource(seed)))
		a, b := d.content("/d/a"), d.content("/d/b")
		require.True(t, a == "one" && b == "-" || a == "-" && b == "one", "seed %d: %q and %q", seed, a, b)
	}
}

// Of unsynced sectors each survives or not, on its own; nothing else appears.
func TestPowerCutTearsAtSectors(t *testing.T) {
	seen := map[string]bool{}
	for seed := range int64(200) {
		d := newDisk(t)
		h := d.durable("/d/a", strings.Repeat("a", 1536))
		d.write(h, strings.Repeat("b", 1536), 0)
		d.PowerCut(rand.New(rand.NewSource(seed)))
		got := d.content("/d/a")
		pattern := ""
		for at := 0; at < 1536; at += 512 {
			require.Equal(t, strings.Repeat(got[at:at+1], 512), got[at:at+512], "a sector is written as a whole")
			pattern += got[at : at+1]
		}
		seen[pattern] = true
	}
	assert.Len(t, seen, 8, "every combination of old and new sectors")
}

// After a sync that failed the kernel takes the pages for clean: the next one
// returns no error and writes nothing.
func TestFailedSyncLosesThePages(t *testing.T) {
	d := newDisk(t)
	h := d.durable("/d/a", "one")
	d.write(h, "two", 0)
	d.Fault = func(op faultfs.Op) error {
		if op.Kind == "sync" {
			return syscall.EIO
		}
		return nil
	}
	require.ErrorIs(t, h.Datasync(), syscall.EIO)
	d.Fault = nil
	require.NoError(t, h.Datasync())
	assert.Equal(t, "two", d.content("/d/a"), "the page cache has it")
	d.PowerCut(nil)
	assert.Equal(t, "one", d.content("/d/a"))

	h, err := d.OpenFile("/d/a", os.O_RDWR, 0)
	require.NoError(t, err)
	d.write(h, "two", 0) // writing the page again makes it dirty again
	require.NoError(t, h.Datasync())
	d.PowerCut(nil)
	assert.Equal(t, "two", d.content("/d/a"))
}

// SyncFS makes names and content durable. What one that failed has lost is told to each handle
// that was open, once.
func TestSyncFS(t *testing.T) {
	d := newDisk(t)
	h := d.create("/d/a", "one")
	d.durable("/d/gone", "")
	require.NoError(t, d.Remove("/d/gone"))
	require.NoError(t, d.SyncFS())
	d.write(h, "two", 0)
	other, err := d.OpenFile("/d/a", os.O_RDWR, 0)
	require.NoError(t, err)
	d.Fault = func(op faultfs.Op) error {
		if op.Kind == "syncfs" {
			return syscall.EIO
		}
		return nil
	}
	require.ErrorIs(t, d.SyncFS(), syscall.EIO)
	d.Fault = nil
	late, err := d.OpenFile("/d/a", os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, late.Datasync(), "it was opened afterwards")
	require.NoError(t, d.SyncFS())
	for _, h := range []logfile.Handle{h, other} {
		require.ErrorIs(t, h.Datasync(), syscall.EIO)
		require.NoError(t, h.Datasync())
	}
	assert.Equal(t, "two", d.content("/d/a"))
	d.PowerCut(nil)
	assert.Equal(t, "one", d.content("/d/a"))
	assert.Equal(t, "-", d.content("/d/gone"))
}

func TestStopAfter(t *testing.T) {
	d := newDisk(t)
	h := d.durable("/d/a", "0123456789")
	d.StopAfter(2)
	require.NoError(t, d.Rename("/d/a", "/d/b"))
	d.write(h, "x", 0)
	assert.False(t, d.Stopped())
	_, err := h.WriteAt([]byte("yyyy"), 5)
	require.ErrorIs(t, err, faultfs.ErrStopped)
	assert.True(t, d.Stopped())
	for name, call := range map[string]func() error{
		"sync":          h.Datasync,
		"truncate":      func() error { return h.Truncate(0) },
		"reserve":       func() error { return h.Reserve(0, 1) },
		"remove":        func() error { return d.Remove("/d/b") },
		"rename":        func() error { return d.Rename("/d/b", "/d/c") },
		"mkdir":         func() error { return d.MkdirAll("/d/x", 0o755) },
		"syncdir":       func() error { return d.SyncDir("/d") },
		"remove a tree": func() error { return d.RemoveAll("/d") },
		"open": func() error {
			_, err := d.OpenFile("/d/b", os.O_RDWR, 0)
			return err
		},
	} {
		assert.ErrorIs(t, call(), faultfs.ErrStopped, name)
	}
	d.Restart()
	assert.Equal(t, "x1234yy789", d.content("/d/b"), "the process died in the middle of the write")
	_, err = h.ReadAt(make([]byte, 1), 0)
	assert.ErrorIs(t, err, faultfs.ErrStopped, "its handles died with it")
	_, err = h.Size()
	assert.ErrorIs(t, err, faultfs.ErrStopped)
	h, err = d.OpenFile("/d/b", os.O_RDWR, 0)
	require.NoError(t, err)
	d.write(h, "z", 0)
}

func TestFullDisk(t *testing.T) {
	d := newDisk(t)
	h := d.create("/d/a", "")
	d.SetSpace(5)
	d.write(h, "123", 0)
	n, err := h.WriteAt([]byte("456789"), 3)
	require.ErrorIs(t, err, syscall.ENOSPC)
	assert.Equal(t, 2, n)
	assert.Equal(t, "12345", d.content("/d/a"), "a part of the write is there, as on a real disk")
	d.SetSpace(-1)
	d.write(h, "456789", 3)
	assert.Equal(t, "123456789", d.content("/d/a"))
}

// Every operation asks Fault before, with its kind and path, and does nothing
// when that returns an error.
func TestFault(t *testing.T) {
	d := newDisk(t)
	h := d.durable("/d/a", "one")
	var got []string
	d.Fault = func(op faultfs.Op) error {
		got = append(got, op.Kind+" "+op.Path)
		return syscall.EIO
	}
	buf := make([]byte, 3)
	_, rerr := h.ReadAt(buf, 0)
	_, werr := h.WriteAt([]byte("two"), 0)
	_, oerr := d.OpenFile("/d/new", os.O_CREATE|os.O_RDWR, 0o644)
	for i, err := range []error{
		rerr, werr, h.Truncate(0), h.Reserve(0, 9), h.Datasync(), oerr,
		d.Remove("/d/a"), d.Rename("/d/a", "/d/b"), d.SyncDir("/d"), d.MkdirAll("/d/x", 0o755),
	} {
		require.ErrorIs(t, err, syscall.EIO, "%d", i)
		var pathErr *fs.PathError
		require.ErrorAs(t, err, &pathErr)
	}
	assert.Equal(t, []string{
		"read /d/a", "write /d/a", "create /d/new", "truncate /d/a", "reserve /d/a", "sync /d/a",
		"remove /d/a", "rename /d/b", "syncdir /d", "mkdir /d/x",
	}, got)
	d.Fault = nil
	assert.Equal(t, "one", d.content("/d/a"))
	assert.Equal(t, "-", d.content("/d/b"))
	assert.Equal(t, "-", d.content("/d/new"))
	_, err := d.Stat("/d/x")
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// A clone shares nothing with the disk it was made of, and has the same to lose.
func TestClone(t *testing.T) {
	d := newDisk(t)
	h := d.durable("/d/a", "one")
	d.write(h, "two", 0)
	d.StopAfter(0)
	c := disk{d.Clone(), t}
	assert.Equal(t, "two", c.content("/d/a"))
	ch, err := c.OpenFile("/d/a", os.O_RDWR, 0)
	require.NoError(t, err, "the stop is not the clone's")
	c.write(ch, "six", 0)
	c.create("/d/b", "b")
	assert.Equal(t, "two", d.content("/d/a"))
	assert.Equal(t, "-", d.content("/d/b"))
	c.PowerCut(nil)
	assert.Equal(t, "one", c.content("/d/a"))
	assert.Equal(t, "two", d.content("/d/a"))
}

// WriteFile is for damage: it is durable at once, and open handles see it.
func TestWriteFile(t *testing.T) {
	d := newDisk(t)
	h := d.create("/d/a", "one")
	text := []byte("damaged")
	d.WriteFile("/d/a", text)
	text[0] = 'x'
	buf := make([]byte, 7)
	_, err := h.ReadAt(buf, 0)
	require.NoError(t, err)
	assert.Equal(t, "damaged", string(buf), "and is not the caller's memory")
	d.WriteFile("/d/new", []byte("new"))
	require.NoError(t, d.SyncDir("/d"))
	d.PowerCut(nil)
	assert.Equal(t, "damaged", d.content("/d/a"))
	assert.Equal(t, "new", d.content("/d/new"))
	b, err := d.ReadFile("/d/a")
	require.NoError(t, err)
	clear(b)
	assert.Equal(t, "damaged", d.content("/d/a"), "ReadFile returns a copy")
	assert.False(t, bytes.Equal(b, []byte("damaged")))
}
