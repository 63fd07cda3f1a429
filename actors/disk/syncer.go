package disk

import (
	"errors"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"ottla/logfile"
)

// maxParallelSyncs bounds the fdatasync calls under way at once.
const maxParallelSyncs = 16

// hookedSyncer calls before ahead of each sync.
type hookedSyncer struct {
	syncer
	before func()
}

// Sync implements syncer.
func (h *hookedSyncer) Sync(targets []syncTarget) []error {
	h.before()
	return h.syncer.Sync(targets)
}

// sharedSyncer syncs the files of a round in the way that has been cheapest
// lately: one file by fdatasync, several by syncfs, which flushes the device
// once for all of them, or by fdatasync of all at the same time. It has one owner.
type sharedSyncer struct {
	fs      fileSystem
	batch   batchSyncer // nil: the platform has none
	chooser syncChooser
	stats   *Stats
	now     func() time.Duration
}

// fileSystem is syncfs for the one filesystem that a Disk serves.
type fileSystem interface {
	// covers reports whether syncfs may stand in for syncing f.
	covers(f File) bool
	// syncfs makes durable all that was written to the filesystem before. It
	// reports every error of a write-back since the last call.
	syncfs() error
	close() error
}

// batchSyncer syncs several files at once without a thread for each.
type batchSyncer interface {
	// datasync calls fdatasync for each descriptor and sets the error of each, or nil.
	datasync(fds []int, errs []error)
	close() error
}

// plainFileSystem has no syncfs that reports errors: files are synced one by one.
type plainFileSystem struct{}

func (plainFileSystem) covers(File) bool { return false }
func (plainFileSystem) syncfs() error    { return nil }
func (plainFileSystem) close() error     { return nil }

// newSyncer makes the syncer for the filesystem of dir.
func newSyncer(dir string, stats *Stats) (*sharedSyncer, error) {
	fs, err := openFileSystem(dir)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	return &sharedSyncer{fs: fs, batch: newBatchSyncer(dir), stats: stats, now: func() time.Duration { return time.Since(start) }}, nil
}

func (s *sharedSyncer) Close() error {
	if s.batch != nil {
		return errors.Join(s.batch.close(), s.fs.close())
	}
	return s.fs.close()
}

// Sync makes the targets durable and returns an error, or nil, for each.
func (s *sharedSyncer) Sync(targets []syncTarget) []error {
	errs := make([]error, len(targets))
	if len(targets) == 0 {
		return errs
	}
	began := s.now()
	defer func() { s.stats.syncTime.ObserveTime(s.now() - began) }()
	var together, alone []int
	for i, t := range targets {
		if t.alone || len(targets) == 1 || !s.fs.covers(t.file) {
			alone = append(alone, i)
		} else {
			together = append(together, i)
		}
	}
	if len(together) < 2 {
		s.parallel(targets, append(alone, together...), errs)
		return errs
	}
	start := s.now()
	way := s.chooser.choose(len(together))
	if way == bySyncfs {
		s.shared(targets, together, errs)
	} else {
		s.parallel(targets, together, errs)
	}
	s.chooser.observe(len(together), way, s.now()-start)
	s.parallel(targets, alone, errs)
	return errs
}

// shared calls syncfs. When that fails it cannot say which file's bytes were
// lost; each file's own descriptor can, so they are synced one by one.
func (s *sharedSyncer) shared(targets []syncTarget, which []int, errs []error) {
	s.stats.syncfs.Add(1)
	// Noted before the sync: what is written during it is not covered.
	changes := make([]uint64, len(which))
	for i, n := range which {
		changes[i] = targets[n].file.Changes()
	}
	if err := s.fs.syncfs(); err != nil {
		text := "syncfs: " + err.Error()
		s.stats.lastErr.Store(&text)
		s.parallel(targets, which, errs)
		return
	}
	for i, n := range which {
		targets[n].file.Synced(changes[i])
	}
}

// parallel syncs each file by its own descriptor, in a batch where that is possible.
func (s *sharedSyncer) parallel(targets []syncTarget, which []int, errs []error) {
	s.stats.syncs.Add(uint64(len(which)))
	if s.batch != nil && len(which) > 1 {
		which = s.batched(targets, which, errs)
	}
	switch len(which) {
	case 0:
		return
	case 1:
		errs[which[0]] = targets[which[0]].file.Sync()
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(which), maxParallelSyncs) {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(which); n = int(next.Add(1)) - 1 {
				errs[which[n]] = targets[which[n]].file.Sync()
			}
		})
	}
	wg.Wait()
}

// batched syncs those of the files that have descriptors in a batch, and returns the
// others.
func (s *sharedSyncer) batched(targets []syncTarget, which []int, errs []error) (rest []int) {
	var begun []*logfile.Syncing
	var fds, of []int
	for _, n := range which {
		f, ok := targets[n].file.(interface {
			StartSync() (*logfile.Syncing, error)
		})
		if !ok {
			rest = append(rest, n)
			continue
		}
		sync, err := f.StartSync()
		if sync == nil {
			errs[n] = err
			continue
		}
		fd, ok := sync.Fd()
		if !ok {
			errs[n] = sync.End(sync.Datasync())
			continue
		}
		begun, fds, of = append(begun, sync), append(fds, int(fd)), append(of, n)
	}
	failed := make([]error, len(fds))
	s.batch.datasync(fds, failed)
	for i, n := range of {
		errs[n] = begun[i].End(failed[i])
	}
	return rest
}

// syncWay is a way of syncing several files.
type syncWay int

const (
	bySyncfs syncWay = iota
	byFiles
)

// The way that looks more expensive is tried again after a gap, in rounds. The
// gap doubles while it stays so, because one syncfs on a filesystem that another
// program fills may take seconds. It is short at first: one syncfs also pays for
// what was written before, by the start of the process for example, and a wrong
// judgement costs most where rounds are few and large.
const (
	firstProbeGap = 2
	lastProbeGap  = 8192
)

// syncChooser remembers what each way costs by the number of files, in powers
// of two. The zero value is ready.
type syncChooser struct{ sizes [11]syncCost }

type syncCost struct {
	cost  [2]time.Duration // by way: moving average, 0: not tried yet
	since int              // rounds since the last probe
	gap   int              // rounds from one probe to the next
}

func (c *syncChooser) costOf(files int) *syncCost {
	return &c.sizes[min(bits.Len(uint(files)), len(c.sizes)-1)]
}

// choose picks the way for a number of files.
func (c *syncChooser) choose(files int) syncWay {
	s := c.costOf(files)
	for _, way := range []syncWay{bySyncfs, byFiles} {
		if s.cost[way] == 0 {
			return way
		}
	}
	best := s.best()
	if s.gap = max(s.gap, firstProbeGap); s.since >= s.gap {
		return 1 - best
	}
	return best
}

func (s *syncCost) best() syncWay {
	if s.cost[byFiles] < s.cost[bySyncfs] {
		return byFiles
	}
	return bySyncfs
}

// observe enters what a round cost.
func (c *syncChooser) observe(files int, way syncWay, took time.Duration) {
	s := c.costOf(files)
	took = max(took, 1)
	old, best := s.cost[way], s.best()
	s.since++
	switch {
	case old == 0 || way != best && took < old:
		s.cost[way] = took // a first try or a probe: what it cost long ago says nothing
	default:
		s.cost[way] = old + (took-old)/4
	}
	switch {
	case s.best() != best:
		s.since, s.gap = 0, firstProbeGap
	case way != best:
		s.since, s.gap = 0, min(2*max(s.gap, firstProbeGap), lastProbeGap)
	}
}
