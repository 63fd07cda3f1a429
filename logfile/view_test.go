package logfile_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

func smallSegments() logfile.Options {
	opt := options("b")
	opt.SegmentBytes = 700
	return opt
}

func TestViewReads(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, smallSegments())
	put(t, l, empty(1, 1, 0))
	for i := range 30 {
		put(t, l, next(l, 1+i%3, fmt.Sprintf(`{"n":%d}`, i)), empty(l.LastIndex()+2, 1, l.NextOffset()+int64(1+i%3)))
	}
	require.Greater(t, len(segments(t, d)), 3)
	end := l.NextOffset()
	for _, hw := range []int64{0, 1, 7, end - 1, end} {
		v := l.View(hw)
		assert.Equal(t, hw, v.HighWatermark())
		for from := range end + 2 {
			got, err := v.Read(nil, from, 5, 1<<20)
			require.NoError(t, err)
			require.Len(t, got, int(max(min(5, hw-from), 0)), "from %d, high watermark %d", from, hw)
			for i, r := range got {
				require.Equal(t, from+int64(i), r.Offset)
				require.Equal(t, r.Offset*1000, r.Timestamp)
				require.Equal(t, fmt.Sprintf("%q", fmt.Sprint("user-", r.Offset)), string(r.Key))
				require.Equal(t, "PRODUCE", string(r.Action))
				require.Empty(t, r.Headers)
			}
		}
	}
	one, err := l.View(end).Read(nil, 3, 100, 1)
	require.NoError(t, err)
	assert.Len(t, one, 1, "at least one record, whatever maxBytes is")
	_, err = l.View(end).Read(nil, -1, 1, 1)
	assert.ErrorIs(t, err, logfile.ErrBelowStart)
}

func TestViewReadsInOnePread(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	for range 100 {
		put(t, l, next(l, 10, "1"))
	}
	reads := 0
	d.Fault = func(op faultfs.Op) error {
		if op.Kind == "read" {
			reads++
		}
		return nil
	}
	got, err := l.View(l.NextOffset()).Read(nil, 123, 500, 1<<20)
	require.NoError(t, err)
	assert.Len(t, got, 500)
	assert.Equal(t, 1, reads)
}

// TestLargeFrames: reading one record of a frame of many blocks touches only
// its block; damage elsewhere does not matter to it, damage there is found.
func TestLargeFrames(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 5000, `"`+strings.Repeat("y", 200)+`"`))
	put(t, l, next(l, 1, "2"))
	put(t, l, records(l.LastIndex()+1, 1, l.NextOffset(), 3, `"`+strings.Repeat("z", 200_000)+`"`))
	v := l.View(l.NextOffset())
	for _, from := range []int64{0, 1, 255, 256, 2500, 4999, 5000, 5001, 5003} {
		got, err := v.Read(nil, from, 2, 1<<20)
		require.NoError(t, err, "from %d", from)
		require.NotEmpty(t, got)
		require.Equal(t, from, got[0].Offset)
	}
	got, err := v.Read(nil, 0, 1<<20, 1<<24)
	require.NoError(t, err)
	require.Len(t, got, 5004)

	path := segments(t, d)[0]
	data, err := d.ReadFile(path)
	require.NoError(t, err)
	at := bytes.Index(data, []byte(` 2500 "user-2500"`)) + 30
	d.WriteFile(path, flip(data, at))
	_, err = v.Read(nil, 2500, 1, 1)
	var bad *logfile.CorruptError
	require.ErrorAs(t, err, &bad)
	got, err = v.Read(nil, 4000, 1, 1)
	require.NoError(t, err)
	assert.Equal(t, int64(4000), got[0].Offset)
	_, err = l.ReadFrames(1, 2, 1)
	require.ErrorAs(t, err, &bad)
}

func TestOffsetForTime(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, smallSegments())
	rnd := rand.New(rand.NewSource(1))
	var times []int64
	for i := range 200 {
		ts := int64(i)*100 + rnd.Int63n(3000) // not in order
		times = append(times, ts)
		put(t, l, frame(uint64(i+1), 1, logfile.KindRecords, int64(i), 1, recordLine(int64(i), ts, "1")))
	}
	check := func(l *logfile.Log, hw int64) {
		v := l.View(hw)
		for ts := int64(-500); ts < 24_000; ts += 97 {
			want := hw
			for i := v.Earliest(); i < hw; i++ {
				if times[i] >= ts {
					want = i
					break
				}
			}
			got, err := v.OffsetForTime(ts)
			require.NoError(t, err)
			require.Equal(t, want, got, "time %d", ts)
		}
	}
	check(l, 200)
	check(l, 77)
	l.Committed(200)
	l.SetApplied(200, nil, nil)
	var b logfile.Batch
	l.SetLogStart(&b, 61)
	run(t, &b)
	check(l, 200)
	require.NoError(t, l.Close())
	l, _ = open(t, d, smallSegments())
	assert.Equal(t, int64(61), l.LogStart())
	check(l, 200)
}

func TestRetention(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, smallSegments())
	for range 40 {
		put(t, l, next(l, 1, "1"))
	}
	l.Committed(40)
	l.SetApplied(40, []byte("conf"), []byte("producers"))
	n := len(segments(t, d))
	require.Greater(t, n, 4)
	assert.Equal(t, int64(0), l.RetentionStart(1<<40, -1, -1, 40), "no limits")
	assert.Equal(t, int64(0), l.RetentionStart(0, 0, -1, 40), "nothing is that old")
	assert.Equal(t, int64(0), l.RetentionStart(1<<40, 0, -1, 0), "nothing committed")
	byTime := l.RetentionStart(20_000, 5_000, -1, 40) // entries appended before second 15
	assert.Greater(t, byTime, int64(5))
	assert.LessOrEqual(t, byTime, int64(14))
	bySize := l.RetentionStart(0, -1, l.Bytes()/2, 40)
	assert.Greater(t, bySize, int64(10))
	assert.Less(t, bySize, int64(30))

	old := l.View(40)
	oldReader := l.Reader()
	before, err := old.Read(nil, 0, 40, 1<<20)
	require.NoError(t, err)
	require.Len(t, before, 40)
	var b logfile.Batch
	l.SetLogStart(&b, bySize)
	assert.Equal(t, bySize, l.View(40).Earliest())
	_, err = l.View(40).Read(nil, bySize-1, 1, 1)
	assert.ErrorIs(t, err, logfile.ErrBelowStart)
	run(t, &b)
	assert.Less(t, len(segments(t, d)), n)
	_, err = old.Read(nil, 0, 40, 1<<20)
	assert.ErrorIs(t, err, logfile.ErrStale, "not damage: the segment is gone")
	assert.NotErrorIs(t, err, logfile.ErrBelowStart, "that is for a newer view to say")
	_, err = oldReader.ReadFrames(1, 2, 1)
	assert.ErrorIs(t, err, logfile.ErrBelowStart)
	assert.Equal(t, before[bySize:], mustRead(t, l.View(40), bySize, 40))
	require.NoError(t, l.Close())
	l, rec := open(t, d, smallSegments())
	assert.Equal(t, bySize, l.LogStart())
	assert.Equal(t, []byte("producers"), rec.Checkpoint.Producers)
	assert.Equal(t, before[bySize:], mustRead(t, l.View(40), bySize, 40))
}

func mustRead(t *testing.T, v *logfile.View, from int64, n int) []logfile.Record {
	t.Helper()
	got, err := v.Read(nil, from, n, 1<<20)
	require.NoError(t, err)
	return got
}

func TestReadGoesOnWhileItsSegmentIsUnlinked(t *testing.T) {
	d := faultfs.New()
	opt := smallSegments()
	opt.Cache = logfile.NewHandleCache(1, 1)
	l := create(t, d, opt)
	for range 20 {
		put(t, l, next(l, 1, "1"))
	}
	l.Committed(20)
	l.SetApplied(20, nil, nil)
	v := l.View(20)
	inside, unlinked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.SetReadHook(func(path string) {
		if strings.HasSuffix(path, "/00000000000000000000.log") {
			once.Do(func() { close(inside); <-unlinked })
		}
	})
	type result struct {
		recs []logfile.Record
		err  error
	}
	done := make(chan result, 1)
	go func() {
		recs, err := v.Read(nil, 0, 1, 1<<20)
		done <- result{recs, err}
	}()
	<-inside
	var b logfile.Batch
	l.SetLogStart(&b, 20)
	run(t, &b)
	close(unlinked)
	r := <-done
	require.NoError(t, r.err)
	require.Len(t, r.recs, 1)
}

func TestIndexIsRebuilt(t *testing.T) {
	for name, spoil := range map[string]func(d *faultfs.FS, path string){
		"missing":   func(d *faultfs.FS, path string) { _ = d.Remove(path) },
		"corrupt":   func(d *faultfs.FS, path string) { b, _ := d.ReadFile(path); d.WriteFile(path, flip(b, len(b)/2)) },
		"empty":     func(d *faultfs.FS, path string) { d.WriteFile(path, nil) },
		"too short": func(d *faultfs.FS, path string) { b, _ := d.ReadFile(path); d.WriteFile(path, b[:len(b)-5]) },
	} {
		t.Run(name, func(t *testing.T) {
			d, l := smallLog(t)
			want := mustRead(t, l.View(20), 0, 20)
			require.NoError(t, l.Close())
			sealed := segments(t, d)
			sealed = sealed[:len(sealed)-1]
			for _, path := range sealed {
				spoil(d, strings.TrimSuffix(path, ".log")+".idx")
			}
			l, _ = open(t, d, smallSegments())
			assert.Equal(t, want, mustRead(t, l.View(20), 0, 20))
			idx, err := d.ReadFile(strings.TrimSuffix(sealed[0], ".log") + ".idx")
			require.NoError(t, err)
			assert.NotEmpty(t, idx)
		})
	}
}

// TestReadersWhileWriting is for the race detector.
func TestReadersWhileWriting(t *testing.T) {
	opt := smallSegments()
	opt.Cache = logfile.NewHandleCache(1, 1)
	l := create(t, faultfs.New(), opt)
	put(t, l, next(l, 1, "1"))
	views := make(chan *logfile.View, 16)
	frames := make(chan *logfile.FrameReader, 16)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for v := range views {
				recs, err := v.Read(nil, 0, 1000, 1<<20)
				assert.NoError(t, err)
				assert.Len(t, recs, int(v.HighWatermark()))
				_, err = v.OffsetForTime(5000)
				assert.NoError(t, err)
			}
		})
		wg.Go(func() {
			for r := range frames {
				got, err := r.ReadFrames(1, r.LastIndex()+1, 1<<20)
				assert.NoError(t, err)
				assert.NotEmpty(t, got)
			}
		})
	}
	for range 60 {
		put(t, l, next(l, 2, "1"))
		views <- l.View(l.NextOffset())
		frames <- l.Reader()
	}
	close(views)
	close(frames)
	wg.Wait()
}

// A read near the end of a frame of many blocks reads the frame's header and the blocks
// that it needs, not the frame from its beginning.
func TestReadsInALargeFrameTakeTheirBlocks(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 5000, `"`+strings.Repeat("y", 200)+`"`))
	put(t, l, next(l, 1, "2"))
	var read int64
	d.Fault = func(op faultfs.Op) error {
		if op.Kind == "read" {
			read += int64(op.Len)
		}
		return nil
	}
	v := l.View(l.NextOffset())
	for _, from := range []int64{0, 2500, 4700, 4990} {
		read = 0
		got, err := v.Read(nil, from, 10, 1<<20)
		require.NoError(t, err)
		require.Len(t, got, 10)
		assert.LessOrEqual(t, read, int64(140<<10), "from %d", from)
	}
}
