package disk

import (
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// fakeFile is a file whose syncs fail on demand; like the real one it stays
// failed.
type fakeFile struct {
	name string

	mu    sync.Mutex
	fail  error
	syncs int

	synced uint64 // by another way
}

func (f *fakeFile) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.syncs++
	return f.fail
}

func (f *fakeFile) failWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *fakeFile) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncs
}

func (f *fakeFile) Fd() (uintptr, bool) { return 0, false }
func (f *fakeFile) Changes() uint64     { return 3 }

func (f *fakeFile) Synced(changes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced = changes
}

// fakeBatch stands for a write to some files.
type fakeBatch struct {
	bytes int
	files []File
	do    func() error // what Execute does; nil succeeds
}

func (b *fakeBatch) Empty() bool       { return b.bytes == 0 }
func (b *fakeBatch) Bytes() int        { return b.bytes }
func (b *fakeBatch) diskFiles() []File { return b.files }

func (b *fakeBatch) Execute() error {
	if b.do == nil {
		return nil
	}
	return b.do()
}

// writeTo is a batch of some bytes for files.
func writeTo(bytes int, files ...File) *fakeBatch { return &fakeBatch{bytes: bytes, files: files} }

// failing is a batch whose execution fails until it is told otherwise.
func failing(err *error, files ...File) *fakeBatch {
	return &fakeBatch{bytes: 10, files: files, do: func() error { return *err }}
}

// plainSyncer syncs file by file on the caller's goroutine.
type plainSyncer struct {
	rounds [][]syncTarget
	closed bool
}

func (s *plainSyncer) Sync(targets []syncTarget) []error {
	s.rounds = append(s.rounds, targets)
	errs := make([]error, len(targets))
	for i, t := range targets {
		errs[i] = t.file.Sync()
	}
	return errs
}

func (s *plainSyncer) Close() error { s.closed = true; return nil }

// gatedSyncer hands each sync to the test and waits until the test lets it go on.
type gatedSyncer struct {
	entered chan []syncTarget
	leave   chan struct{}
	closed  chan struct{}
}

func newGatedSyncer() *gatedSyncer {
	return &gatedSyncer{entered: make(chan []syncTarget), leave: make(chan struct{}), closed: make(chan struct{})}
}

func (s *gatedSyncer) Sync(targets []syncTarget) []error {
	s.entered <- targets
	<-s.leave
	errs := make([]error, len(targets))
	for i, t := range targets {
		errs[i] = t.file.Sync()
	}
	return errs
}

func (s *gatedSyncer) Close() error { close(s.closed); return nil }

// manualTimers collects timers, which fire when the test says so.
type manualTimers struct {
	mu     sync.Mutex
	timers []*manualTimer
	armed  chan *manualTimer
}

type manualTimer struct {
	d       time.Duration
	fire    func()
	stopped bool
}

func newManualTimers() *manualTimers { return &manualTimers{armed: make(chan *manualTimer, 100)} }

func (m *manualTimers) after(d time.Duration, f func()) func() {
	t := &manualTimer{d: d, fire: f}
	m.mu.Lock()
	m.timers = append(m.timers, t)
	m.mu.Unlock()
	m.armed <- t
	return func() {
		m.mu.Lock()
		t.stopped = true
		m.mu.Unlock()
	}
}

func (m *manualTimers) wasStopped(t *manualTimer) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return t.stopped
}

func fakePID(name string) *actor.PID { return actor.NewPID("test", name) }
