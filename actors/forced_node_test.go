package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/actors/forced"
	"ottla/logfile"
	"ottla/protocol"
)

// What follows the last checkpoint of the survivor's log is not forgotten: the
// producers of those records among it, and membership changes in it are not
// taken up again.
func TestForcedSurvivorKeepsItsWholeLog(t *testing.T) {
	dir, image := t.TempDir(), t.TempDir()
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "kept", Partitions: ptr(1)})
	produce(t, n, "kept", 0, `0`)
	// Broker 3 is lost and rebuilt, so that the log has changes of membership.
	_, err := n.StopBroker(context.Background(), "default", 3)
	require.Nil(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-3")))
	_, err = n.StartBroker(context.Background(), "default", 3)
	require.Nil(t, err)
	awaitSettled(t, n)
	for i := 1; i < 30; i++ {
		produce(t, n, "kept", 0, fmt.Sprint(i))
	}
	awaitSameLines(t, dir, "kept", 0)
	// As a kill would leave it: no checkpoint of a clean end.
	copyLive(t, image, dir)
	stopNode(t, n)
	for b := 1; b <= 2; b++ {
		require.NoError(t, os.RemoveAll(filepath.Join(image, "default", datadir.BrokerDirName(b))))
	}
	_, _, startErr := datadir.Load(image, forced.HasMetadataQuorum)
	require.ErrorContains(t, startErr, datadir.RepairCommand)

	plan, perr := forced.NewPlan(image, true)
	require.NoError(t, perr)
	require.Len(t, plan.Partitions, 1+1+1) // __cluster_metadata, __consumer_offsets, kept
	last := plan.Partitions[2]
	assert.Equal(t, "kept", last.Topic)
	assert.Equal(t, 3, last.Survivor.Broker)
	assert.EqualValues(t, 30, last.Survivor.NextOffset)
	assert.Len(t, last.Others, 2)
	require.NoError(t, plan.Execute())
	plan, perr = forced.NewPlan(image, true)
	require.NoError(t, perr)
	assert.Empty(t, plan.Partitions, "once is enough")

	n = startNode(t, image)
	defer stopNode(t, n)
	awaitSettled(t, n)
	require.Len(t, fetchAll(t, n, "kept", 0), 30)
	require.EqualValues(t, 30, produce(t, n, "kept", 0, `30`))
	awaitSameLines(t, image, "kept", 0)
}

// A copy of the metadata that no record has reached yet knows no partition: that
// is not a cluster in which all have their majority.
func TestForceWithoutAnyMetadata(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	awaitSettled(t, n)
	stopNode(t, n)
	metadata := filepath.Join(dir, "default", datadir.BrokerDirName(2), protocol.MetadataTopic+"-0")
	found, err := logfile.Inspect(logfile.OSFS{}, metadata, logfile.Options{BootID: logfile.BootID()})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(metadata))
	first := logfile.Checkpoint{ConfState: found.Checkpoint.ConfState}
	log, err := logfile.Create(logfile.OSFS{}, metadata, found.Identity, first, logfile.Options{BootID: logfile.BootID()})
	require.NoError(t, err)
	require.NoError(t, log.Close())
	for b := 1; b <= 3; b += 2 {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", datadir.BrokerDirName(b))))
	}
	_, err = forced.NewPlan(dir, false)
	require.ErrorContains(t, err, "metadata on broker 2 had not got the cluster's first records")
}

// A crash at any step of the command leaves what the same command completes.
func TestForceIsCompletedAfterACrash(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	n := startNode(t, base)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "kept", Partitions: ptr(1)})
	produce(t, n, "kept", 0, `1`, `2`)
	require.Eventually(t, func() bool { // the others may be the majority that acknowledged
		data, err := os.ReadFile(filepath.Join(base, "default", datadir.BrokerDirName(2), "kept-0", "00000000000000000000.log"))
		return err == nil && bytes.Count(data, []byte(" PRODUCE\n")) == 2
	}, patience, 5*time.Millisecond)
	stopNode(t, n)
	// One copy of one partition is all that is left of it; the others go on.
	for _, b := range []int{1, 3} {
		require.NoError(t, os.RemoveAll(filepath.Join(base, "default", datadir.BrokerDirName(b), "kept-0")))
	}
	for steps := 0; ; steps++ {
		dir := filepath.Join(t.TempDir(), "data")
		require.NoError(t, os.CopyFS(dir, os.DirFS(base)))
		plan, err := forced.NewPlan(dir, true)
		require.NoError(t, err)
		require.Len(t, plan.Partitions, 1)
		left := steps
		hook := func(string) error {
			if left--; left < 0 {
				return errCut
			}
			return nil
		}
		plan.OnWrite(hook)
		err = plan.Execute()
		if err != nil {
			require.ErrorIs(t, err, errCut)
		}
		again, perr := forced.NewPlan(dir, true)
		require.NoError(t, perr)
		require.NoError(t, again.Execute(), "step %d", steps)
		n := startNode(t, dir)
		awaitSettled(t, n)
		require.Equal(t, []string{`1`, `2`}, fetchAll(t, n, "kept", 0), "step %d", steps)
		stopNode(t, n)
		if err == nil {
			return
		}
	}
}

var errCut = errors.New("crash")
