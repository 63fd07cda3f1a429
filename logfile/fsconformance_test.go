package logfile_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// TestFilesystems holds the test disk against the operating system: what tests
// on the one show is true of the other.
func TestFilesystems(t *testing.T) {
	root := t.TempDir()
	test := faultfs.New()
	require.NoError(t, test.MkdirAll("/data", 0o755))
	for name, disk := range map[string]struct {
		fsys logfile.FS
		root string
	}{
		"the operating system": {logfile.OSFS{}, root},
		"the test disk":        {test, "/data"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &conformance{t, disk.fsys, disk.root}
			c.names()
			c.content()
			c.parts()
			c.renames()
		})
	}
}

type conformance struct {
	t    *testing.T
	fsys logfile.FS
	root string
}

func (c *conformance) path(name string) string { return filepath.Join(c.root, name) }

func (c *conformance) write(name, text string) logfile.Handle {
	h, err := c.fsys.OpenFile(c.path(name), os.O_CREATE|os.O_RDWR, 0o644)
	require.NoError(c.t, err)
	n, err := h.WriteAt([]byte(text), 0)
	require.NoError(c.t, err)
	require.Equal(c.t, len(text), n)
	return h
}

func (c *conformance) read(name string) string {
	h, err := c.fsys.OpenFile(c.path(name), os.O_RDONLY, 0)
	require.NoError(c.t, err)
	size, err := h.Size()
	require.NoError(c.t, err)
	b := make([]byte, size)
	_, err = h.ReadAt(b, 0)
	require.NoError(c.t, err)
	require.NoError(c.t, h.Close())
	return string(b)
}

// names: what exists, what does not, and what errors say so.
func (c *conformance) names() {
	t := c.t
	_, err := c.fsys.OpenFile(c.path("none"), os.O_RDWR, 0)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = c.fsys.OpenFile(c.path("none/file"), os.O_CREATE|os.O_RDWR, 0o644)
	assert.ErrorIs(t, err, fs.ErrNotExist, "a file needs its directory")
	_, err = c.fsys.Stat(c.path("none"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = c.fsys.ReadDir(c.path("none"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorIs(t, c.fsys.Remove(c.path("none")), fs.ErrNotExist)
	assert.ErrorIs(t, c.fsys.Rename(c.path("none"), c.path("other")), fs.ErrNotExist)
	assert.NoError(t, c.fsys.RemoveAll(c.path("none")))

	require.NoError(t, c.fsys.MkdirAll(c.path("d/e"), 0o755))
	require.NoError(t, c.fsys.MkdirAll(c.path("d/e"), 0o755), "again is fine")
	for _, name := range []string{"d/b", "d/a", "d/e/deep"} {
		require.NoError(t, c.write(name, name).Close())
	}
	require.NoError(t, c.fsys.SyncDir(c.path("d")))
	list, err := c.fsys.ReadDir(c.path("d"))
	require.NoError(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
		info, err := e.Info()
		require.NoError(t, err)
		assert.Equal(t, e.IsDir(), info.IsDir())
		assert.Equal(t, e.Type(), info.Mode().Type())
	}
	assert.Equal(t, []string{"a", "b", "e"}, names, "sorted, and nothing of a directory below")
	info, err := c.fsys.Stat(c.path("d/e/deep"))
	require.NoError(t, err)
	assert.EqualValues(t, len("d/e/deep"), info.Size())
	assert.Equal(t, "deep", info.Name())
	require.NoError(t, c.fsys.RemoveAll(c.path("d/e")))
	_, err = c.fsys.Stat(c.path("d/e/deep"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Equal(t, "d/a", c.read("d/a"))
}

// content: reads and writes at positions, and what truncation leaves.
func (c *conformance) content() {
	t := c.t
	h := c.write("file", "0123456789")
	b := make([]byte, 4)
	n, err := h.ReadAt(b, 3)
	require.NoError(t, err)
	assert.Equal(t, "3456", string(b[:n]))
	n, err = h.ReadAt(b, 8)
	assert.Equal(t, io.EOF, err)
	assert.Equal(t, "89", string(b[:n]))
	n, err = h.ReadAt(b, 10)
	assert.Equal(t, io.EOF, err)
	assert.Zero(t, n)
	_, err = h.WriteAt([]byte("x"), 13)
	require.NoError(t, err)
	assert.Equal(t, "0123456789\x00\x00\x00x", c.read("file"), "a hole reads as zeros")
	require.NoError(t, h.Truncate(5))
	assert.Equal(t, "01234", c.read("file"))
	require.NoError(t, h.Truncate(7))
	assert.Equal(t, "01234\x00\x00", c.read("file"), "what was cut off does not come back")
	require.NoError(t, h.Reserve(7, 1<<16))
	size, err := h.Size()
	require.NoError(t, err)
	assert.EqualValues(t, 7, size, "reserved space is not content")
	require.NoError(t, h.Datasync())
	require.NoError(t, h.Close())
	h, err = c.fsys.OpenFile(c.path("file"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	require.NoError(t, err)
	require.NoError(t, h.Close())
	assert.Empty(t, c.read("file"))
}

// parts are written as if they were one piece, however many there are.
func (c *conformance) parts() {
	t := c.t
	h := c.write("parts", "0123456789")
	var parts [][]byte
	want := "012"
	for i := range 3000 {
		part := strings.Repeat(strconv.Itoa(i), i%3)
		parts, want = append(parts, []byte(part)), want+part
	}
	require.NoError(t, h.WritePartsAt(parts, 3))
	require.NoError(t, h.Close())
	assert.Equal(t, want, c.read("parts"))
}

// renames replace what has the name, and open files go on under none.
func (c *conformance) renames() {
	t := c.t
	old := c.write("target", "old")
	require.NoError(t, c.write("source", "new").Close())
	require.NoError(t, c.fsys.Rename(c.path("source"), c.path("target")))
	assert.Equal(t, "new", c.read("target"))
	_, err := c.fsys.Stat(c.path("source"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	b := make([]byte, 3)
	_, err = old.ReadAt(b, 0)
	require.NoError(t, err)
	assert.Equal(t, "old", string(b), "who has it open reads on")
	require.NoError(t, c.fsys.Remove(c.path("target")))
	_, err = old.WriteAt([]byte("x"), 0)
	require.NoError(t, err, "also writes")
	require.NoError(t, old.Close())
}
