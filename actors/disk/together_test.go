package disk

import (
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// slowFileSystem is one whose sync takes as long as the test wants.
type slowFileSystem struct {
	fakeFileSystem
	begun chan struct{}
	end   chan error
}

func (s *slowFileSystem) syncfs() error {
	s.calls++
	s.begun <- struct{}{}
	return <-s.end
}

// Whoever asks while a sync is under way has perhaps written too late for it, and shares the
// next one with all others who do.
func TestThoseWhoWaitShareTheNextSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &slowFileSystem{begun: make(chan struct{}), end: make(chan error)}
		together := newTogether(fs)
		var all sync.WaitGroup
		files := make([]fakeFile, 10)
		ask := func(f *fakeFile) { all.Go(func() { assert.True(t, together.Sync(f)) }) }
		ask(&files[0])
		<-fs.begun
		for i := range files[1:] {
			ask(&files[1+i])
		}
		synctest.Wait()
		fs.end <- nil
		<-fs.begun
		synctest.Wait()
		assert.Zero(t, files[1].synced, "the sync that began before it asked does not count")
		fs.end <- nil
		all.Wait()
		assert.Equal(t, 2, fs.calls)
		for i := range files {
			assert.EqualValues(t, 3, files[i].synced)
		}
	})
}

// The kernel reports a write that failed once. It may be that of one who waits for the next sync.
func TestAfterASyncThatFailedNobodyReliesOnOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &slowFileSystem{begun: make(chan struct{}), end: make(chan error)}
		together := newTogether(fs)
		var all sync.WaitGroup
		var files [3]fakeFile
		ask := func(f *fakeFile) { all.Go(func() { assert.False(t, together.Sync(f)) }) }
		ask(&files[0])
		<-fs.begun
		ask(&files[1])
		synctest.Wait()
		fs.end <- syscall.EIO
		all.Wait()
		ask(&files[2])
		all.Wait()
		assert.Equal(t, 1, fs.calls)
		assert.Zero(t, files[0].synced+files[1].synced+files[2].synced)
	})
}

func TestAFileOnAnotherFilesystemIsNotSyncedTogether(t *testing.T) {
	f := &fakeFile{}
	fs := &fakeFileSystem{others: map[File]bool{f: true}}
	assert.False(t, newTogether(fs).Sync(f))
	assert.Zero(t, fs.calls)
}
