package actors

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/forced"
	"ottla/protocol"
)

// replaceDir puts a copy of one directory in another's place.
func replaceDir(t *testing.T, dst, src string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(dst))
	require.NoError(t, os.CopyFS(dst, os.DirFS(src)))
}

// A directory is what it says inside, not what its path says: each row puts a
// wrong one somewhere in broker 3's, and the records are all there afterwards,
// in three copies, and the wrong one is kept aside.
func TestWrongDirectoryIsPutAsideAndRebuilt(t *testing.T) {
	tests := map[string]struct {
		wrong func(t *testing.T, dir, other string) // other is another cluster's data directory
		aside string
	}{
		"another cluster's broker": {func(t *testing.T, dir, other string) {
			replaceDir(t, filepath.Join(dir, "default/broker-3"), filepath.Join(other, "other/broker-3"))
		}, "broker-3.aside-*"},
		"another broker's": {func(t *testing.T, dir, _ string) {
			replaceDir(t, filepath.Join(dir, "default/broker-3"), filepath.Join(dir, "default/broker-1"))
		}, "broker-3.aside-*"},
		"another topic's": {func(t *testing.T, dir, _ string) {
			replaceDir(t, filepath.Join(dir, "default/broker-3/a-0"), filepath.Join(dir, "default/broker-3/b-0"))
		}, "broker-3/a-0.replaced-*"},
		"another broker's replica of the same partition": {func(t *testing.T, dir, _ string) {
			replaceDir(t, filepath.Join(dir, "default/broker-3/a-0"), filepath.Join(dir, "default/broker-1/a-0"))
		}, "broker-3/a-0.replaced-*"},
		"another cluster's replica of a topic of that name": {func(t *testing.T, dir, other string) {
			replaceDir(t, filepath.Join(dir, "default/broker-3/a-0"), filepath.Join(other, "other/broker-3/a-0"))
		}, "broker-3/a-0.replaced-*"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, other := t.TempDir(), t.TempDir()
			n := startNode(t, other, func(o *Options) { o.DefaultCluster = "other" })
			createTestTopic(t, n, &protocol.TopicSpec{Cluster: "other", Name: "a", Partitions: ptr(1)})
			stopNode(t, n)
			n = startNode(t, dir)
			for _, topic := range []string{"a", "b"} {
				createTestTopic(t, n, &protocol.TopicSpec{Name: topic, Partitions: ptr(1)})
				produce(t, n, topic, 0, `"of"`, `"`+topic+`"`)
			}
			stopNode(t, n)
			tt.wrong(t, dir, other)
			n = startNode(t, dir)
			defer stopNode(t, n)
			awaitSettled(t, n)
			for _, topic := range []string{"a", "b"} {
				assert.Equal(t, []string{`"of"`, `"` + topic + `"`}, fetchAll(t, n, topic, 0))
				awaitSameLines(t, dir, topic, 0)
			}
			kept, err := filepath.Glob(filepath.Join(dir, "default", tt.aside))
			require.NoError(t, err)
			assert.Len(t, kept, 1)
		})
	}
}

// A directory of a cluster of the same name could be a mistake either way
// round, so it is refused and nothing is changed.
func TestDirectoryOfAClusterOfTheSameNameIsRefused(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, other} {
		n := startNode(t, d)
		stopNode(t, n)
	}
	replaceDir(t, filepath.Join(dir, "default/broker-3"), filepath.Join(other, "default/broker-3"))
	before := snapshotTree(t, dir)
	_, err := Start(context.Background(), Options{DataDir: dir})
	require.ErrorContains(t, err, "move one of them away")
	require.ErrorContains(t, err, "broker-3")
	require.Equal(t, before, snapshotTree(t, dir))
}

// A log of a newer format is no damage: it stays where it is, for the program
// that can read it.
func TestLogOfANewerFormatStaysInPlace(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
	produce(t, n, "a", 0, `1`)
	stopNode(t, n)
	path := filepath.Join(dir, "default/broker-3/a-0/00000000000000000000.log")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	line = append([]byte("#i 2"), bytes.TrimPrefix(line[:len(line)-8], []byte("#i 1"))...)
	newer := fmt.Appendf(nil, "%s%08x\n%s", line, crc32.Checksum(bytes.TrimSuffix(line, []byte(" ")), crc32.MakeTable(crc32.Castagnoli)), rest)
	require.NoError(t, os.WriteFile(path, newer, 0o600))

	n = startNode(t, dir)
	require.Equal(t, []string{`1`}, fetchAll(t, n, "a", 0))
	require.Eventually(t, func() bool {
		for _, p := range n.Readiness().Degraded {
			if p.Topic == "a" {
				return strings.Contains(p.Reason, "newer format") // before it was tried it only does not run
			}
		}
		return false
	}, patience, 10*time.Millisecond)
	stopNode(t, n)
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, newer, now)
	_, err = forced.NewPlan(dir, false)
	require.ErrorContains(t, err, "newer format")
}
