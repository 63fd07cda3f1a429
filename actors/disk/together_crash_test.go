package disk

import (
	"fmt"
	"math/rand"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// faultyFileSystem is syncfs of a disk in memory.
type faultyFileSystem struct{ *faultfs.FS }

func (faultyFileSystem) covers(File) bool { return true }
func (faultyFileSystem) close() error     { return nil }

// syncfs lets others run before and after, as one of a real disk does: they ask meanwhile.
func (f faultyFileSystem) syncfs() error {
	giveWay(togetherLogs)
	defer giveWay(togetherLogs)
	return f.SyncFS()
}

func giveWay(times int) {
	for range times {
		runtime.Gosched()
	}
}

// togetherRig is a machine whose process is killed while it writes to many logs, and which
// loses its power while they are opened again.
type togetherRig struct {
	t       *testing.T
	seed    int64
	rnd     *rand.Rand
	fs      *faultfs.FS
	durable []uint64 // by log: the last entry that was synced before the kill
	last    []uint64 // by log: the last entry that was written
	syncfs  int      // calls of the opening
	asked   int
}

const togetherLogs = 12

func togetherDir(n int) string { return fmt.Sprintf("/data/t-%d", n) }

func newTogetherRig(t *testing.T, seed int64) *togetherRig {
	r := &togetherRig{t: t, seed: seed, rnd: rand.New(rand.NewSource(seed)), fs: faultfs.New()}
	require.NoError(t, r.fs.MkdirAll("/data", 0o755))
	require.NoError(t, r.fs.SyncDir("/"))
	for n := range togetherLogs {
		id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", Partition: n, Broker: 1, ReplicaID: uint64(n + 1)}
		log, err := logfile.Create(r.fs, togetherDir(n), id, logfile.Checkpoint{}, logfile.Options{SegmentBytes: 1 << 11, BootID: "1"})
		require.NoError(t, err)
		r.durable = append(r.durable, 0)
		for range r.rnd.Intn(6) {
			r.write(log, n)
		}
		switch r.rnd.Intn(3) {
		case 0: // with nothing to say after it, recovery has no mark to write
			b := &logfile.Batch{}
			log.StageSyncMark(b)
			require.NoError(t, b.Execute())
		case 1:
			r.lose(log, n)
		}
		r.last = append(r.last, log.LastIndex())
	}
	r.fs.Restart()
	return r
}

// write appends an entry, and syncs it or not.
func (r *togetherRig) write(log *logfile.Log, n int) {
	b := r.append(log, n)
	if r.rnd.Intn(2) == 0 {
		for _, f := range b.Files() {
			require.NoError(r.t, f.Sync())
		}
		log.Synced(log.LastIndex())
		r.durable[n] = log.LastIndex()
	}
}

func (r *togetherRig) append(log *logfile.Log, n int) *logfile.Batch {
	b, last, offset := &logfile.Batch{}, log.LastIndex()+1, log.NextOffset()
	body := fmt.Appendf(nil, "2026-11-22 17:16:03.123 t %d %d \"k\" {\"v\":\"%s\"} PRODUCE\n", n, offset, strings.Repeat("x", 600))
	require.NoError(r.t, log.Append(b, []logfile.Frame{{
		Index: last, Term: 1, Kind: logfile.KindRecords, BaseOffset: offset, Count: 1, AppendTime: offset, Body: body, BodySum: logfile.Checksum(body),
	}}))
	require.NoError(r.t, b.Execute())
	return b
}

// lose appends an entry whose sync fails: recovery finds it in the page cache, from where the
// kernel does not write it again.
func (r *togetherRig) lose(log *logfile.Log, n int) {
	b := r.append(log, n)
	r.fs.Fault = func(op faultfs.Op) error {
		if op.Kind == "sync" {
			return syscall.EIO
		}
		return nil
	}
	for _, f := range b.Files() {
		require.ErrorIs(r.t, f.Sync(), syscall.EIO)
	}
	r.fs.Fault = nil
}

// open opens all logs at the same time and returns the last entries of those that were opened.
func (r *togetherRig) open(syncTogether func(File) bool) map[int]uint64 {
	opened := map[int]uint64{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for n := range togetherLogs {
		late := r.rnd.Intn(3 * togetherLogs)
		all.Go(func() {
			giveWay(late)
			log, rec, err := logfile.Open(r.fs, togetherDir(n), logfile.Options{SegmentBytes: 1 << 11, BootID: "1", Together: func(f *logfile.File) bool {
				mu.Lock()
				r.asked++
				mu.Unlock()
				if !syncTogether(f) {
					return false
				}
				r.lasts(r.fs.Clone(), n, r.last[n])
				return true
			}})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(r.t, log.LastIndex(), rec.LastIndex)
			opened[n] = rec.LastIndex
		})
	}
	all.Wait()
	return opened
}

// check cuts the power and looks for what must be there: what had been synced, and all of the
// logs that were opened since.
func (r *togetherRig) check(opened map[int]uint64) {
	cut := r.rnd
	if r.rnd.Intn(3) == 0 {
		cut = nil // nothing survives that was not synced
	}
	r.fs.PowerCut(cut)
	for n := range togetherLogs {
		r.reaches(r.fs, n, max(r.durable[n], opened[n]))
	}
}

// lasts cuts the power of a copy of the disk, of which only what was synced survives.
func (r *togetherRig) lasts(fs *faultfs.FS, n int, last uint64) {
	fs.PowerCut(nil)
	r.reaches(fs, n, last)
}

// reaches opens a log after a power cut and looks how far it goes.
func (r *togetherRig) reaches(fs *faultfs.FS, n int, last uint64) {
	log, _, err := logfile.Open(fs, togetherDir(n), logfile.Options{SegmentBytes: 1 << 11, BootID: "2"})
	if assert.NoError(r.t, err, "seed %d, log %d", r.seed, n) {
		assert.GreaterOrEqual(r.t, log.LastIndex(), last, "seed %d, log %d", r.seed, n)
	}
}

// The power fails at some moment of an opening of many logs, or after it. A sync of all may
// have failed meanwhile. What was opened is there afterwards.
func TestLogsOpenedTogetherSurvivePowerCuts(t *testing.T) {
	asked, syncs, failed := 0, 0, 0
	for seed := range int64(400) {
		r := newTogetherRig(t, seed)
		failing := -1
		if r.rnd.Intn(3) == 0 {
			failing = r.rnd.Intn(4)
		}
		r.fs.Fault = func(op faultfs.Op) error {
			if op.Kind != "syncfs" {
				return nil
			}
			r.syncfs++
			if r.syncfs-1 == failing {
				failed++
				return syscall.EIO
			}
			return nil
		}
		if r.rnd.Intn(2) == 0 {
			r.fs.StopAfter(r.rnd.Intn(6 * togetherLogs))
		}
		together := newTogether(faultyFileSystem{r.fs})
		r.check(r.open(together.Sync))
		require.False(t, t.Failed(), "seed %d", seed)
		asked, syncs = asked+r.asked, syncs+r.syncfs
	}
	t.Logf("%d syncs for %d that asked, %d failed", syncs, asked, failed)
	assert.Less(t, syncs, asked/2, "most share a sync")
	assert.NotZero(t, failed)
}
