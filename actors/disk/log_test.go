package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// logReplica is an owner of a log that writes through Disk.
type logReplica struct {
	*probe
	dir     string
	log     *logfile.Log
	seq     uint64
	batches []*logfile.Batch // by seq-1
}

// logRig is a Disk with three logs on a disk in memory.
type logRig struct {
	diskRig
	fs       *faultfs.FS
	replicas []*logReplica
}

func newLogRig(t *testing.T) *logRig {
	quiet := slog.New(slog.DiscardHandler)
	r := &logRig{fs: faultfs.New(), diskRig: diskRig{
		t: t, system: actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet })),
	}}
	t.Cleanup(r.system.Shutdown)
	var err error
	r.pid, err = Spawn(r.system.Root, "disk", Options{Dir: t.TempDir(), Logger: quiet})
	require.NoError(t, err)
	for n := 1; n <= 3; n++ {
		rep := &logReplica{probe: r.probe(fmt.Sprintf("replica-%d", n)), dir: fmt.Sprintf("/data/broker-%d/liked-0", n)}
		parent := path.Dir(rep.dir)
		require.NoError(t, r.fs.MkdirAll(parent, 0o755))
		for _, dir := range []string{"/", "/data", parent} {
			require.NoError(t, r.fs.SyncDir(dir))
		}
		id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "liked", Broker: n, ReplicaID: uint64(n)}
		rep.log, err = logfile.Create(r.fs, rep.dir, id, logfile.Checkpoint{}, logfile.Options{SegmentBytes: 1 << 12, BootID: "1"})
		require.NoError(t, err)
		r.replicas = append(r.replicas, rep)
	}
	return r
}

// append stages one entry and sends it to Disk.
func (r *logRig) append(rep *logReplica) {
	r.t.Helper()
	offset := rep.log.NextOffset()
	body := []byte(fmt.Sprintf("2026-11-22 17:16:03.123 liked 0 %d \"k\" {\"v\":\"%s\"} PRODUCE\n", offset, strings.Repeat("x", 300)))
	b := &logfile.Batch{}
	require.NoError(r.t, rep.log.Append(b, []logfile.Frame{{
		Index: rep.log.LastIndex() + 1, Term: 1, Kind: logfile.KindRecords, BaseOffset: offset, Count: 1,
		AppendTime: offset, Body: body, BodySum: logfile.Checksum(body),
	}}))
	rep.seq++
	rep.batches = append(rep.batches, b)
	r.resend(rep, rep.seq)
}

func (r *logRig) resend(rep *logReplica, seq uint64) {
	r.system.Root.Send(r.pid, &Write{From: rep.pid, Seq: seq, Index: seq, Batch: rep.batches[seq-1], Group: testGroup})
}

// last reopens a replica's log and returns its last index.
func (r *logRig) last(rep *logReplica, boot string) uint64 {
	r.t.Helper()
	log, _, err := logfile.Open(r.fs, rep.dir, logfile.Options{SegmentBytes: 1 << 12, BootID: boot})
	require.NoError(r.t, err)
	require.NoError(r.t, log.Close())
	return log.LastIndex()
}

func TestDiskAcknowledgedEntriesSurvivePowerCuts(t *testing.T) {
	for seed := range int64(20) {
		r := newLogRig(t)
		const sent = 40
		for range sent {
			for _, rep := range r.replicas {
				r.append(rep)
			}
		}
		// The power fails when the first replica has had some of its answers.
		acked := map[*logReplica]uint64{}
		for seq := uint64(1); seq <= uint64(seed)%sent+1; seq++ {
			require.NoError(t, r.replicas[0].expect(t, seq)[0])
			acked[r.replicas[0]] = seq
		}
		r.fs.PowerCut(rand.New(rand.NewSource(seed)))
		for _, rep := range r.replicas {
			assert.GreaterOrEqual(t, r.last(rep, "2"), acked[rep], "seed %d", seed)
		}
	}
}

func TestDiskFullDiskIsRetried(t *testing.T) {
	r := newLogRig(t)
	full, fine := r.replicas[0], r.replicas[1]
	r.append(full)
	require.NoError(t, full.expect(t, 1)[0])
	r.fs.SetSpace(100)
	for range 3 {
		r.append(full)
	}
	for _, err := range full.expect(t, 2, 3, 4) {
		require.ErrorIs(t, err, syscall.ENOSPC)
		assert.True(t, Retriable(err))
	}
	r.fs.SetSpace(-1)
	r.append(fine)
	require.NoError(t, fine.expect(t, 1)[0])
	r.append(full) // its owner has not had the answer yet
	assert.True(t, Retriable(full.expect(t, 5)[0]))
	for seq := uint64(2); seq <= 5; seq++ {
		r.resend(full, seq)
	}
	for _, err := range full.expect(t, 2, 3, 4, 5) {
		require.NoError(t, err)
	}
	r.fs.PowerCut(rand.New(rand.NewSource(1)))
	assert.Equal(t, uint64(5), r.last(full, "2"))
}

func TestDiskFailedSyncPoisonsOneLog(t *testing.T) {
	r := newLogRig(t)
	bad, fine := r.replicas[0], r.replicas[1]
	errIO := errors.New("medium error")
	r.fs.Fault = func(op faultfs.Op) error {
		if op.Kind == "sync" && strings.HasPrefix(op.Path, bad.dir) {
			return errIO
		}
		return nil
	}
	for _, rep := range []*logReplica{bad, fine} {
		r.append(rep)
		r.append(rep)
	}
	for _, err := range bad.expect(t, 1, 2) {
		require.ErrorIs(t, err, errIO)
		assert.False(t, Retriable(err))
	}
	for _, err := range fine.expect(t, 1, 2) {
		require.NoError(t, err)
	}
	files := bad.batches[1].Files()
	require.NotEmpty(t, files)
	require.ErrorIs(t, files[0].Poisoned(), logfile.ErrPoisoned)
	r.append(bad)
	assert.False(t, Retriable(bad.expect(t, 3)[0]))
}
