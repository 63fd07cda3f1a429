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

// mixedLog has frames of one block and of many, small and large records, and
// several segments.
func mixedLog(t testing.TB) *logfile.Log {
	t.Helper()
	opt := options("b")
	opt.SegmentBytes = 300_000
	l := create(t, faultfs.New(), opt)
	rnd := rand.New(rand.NewSource(7))
	for i := range 60 {
		size, n := 1+rnd.Intn(200), 1+rnd.Intn(40)
		switch i % 6 {
		case 2:
			n = 500 + rnd.Intn(1500)
		case 4:
			size, n = 40_000+rnd.Intn(100_000), 1+rnd.Intn(3)
		}
		put(t, l, next(l, n, `"`+strings.Repeat(fmt.Sprint(i%10), size)+`"`), empty(l.LastIndex()+2, 1, l.NextOffset()+int64(n)))
	}
	require.Greater(t, l.NextOffset(), int64(5000))
	return l
}

// cloned makes a record that outlives take.
func cloned(r *logfile.Record) logfile.Record {
	return logfile.Record{
		Offset: r.Offset, Timestamp: r.Timestamp, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value),
		Headers: bytes.Clone(r.Headers), Action: bytes.Clone(r.Action),
	}
}

// Each is Read without memory of its own; also while others read.
func TestEachTakesWhatReadReturns(t *testing.T) {
	l := mixedLog(t)
	v := l.View(l.NextOffset() - 3)
	var all sync.WaitGroup
	for seed := range 8 {
		all.Go(func() {
			rnd := rand.New(rand.NewSource(int64(seed)))
			for range 60 {
				from, records, room := rnd.Int63n(l.NextOffset()), 1+rnd.Intn(800), 1+rnd.Intn(300_000)
				want, err := v.Read(nil, from, records, room)
				if !assert.NoError(t, err) {
					return
				}
				var got []logfile.Record
				err = v.Each(from, records, room, func(r *logfile.Record) { got = append(got, cloned(r)) })
				if !assert.NoError(t, err) || !assert.Equal(t, want, got, "%d records, %d bytes from %d", records, room, from) {
					return
				}
			}
		})
	}
	all.Wait()
}

// What is taken is verified: nothing of a damaged block reaches the reader,
// and the next read reports it.
func TestEachTakesNothingDamaged(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 5000, `"`+strings.Repeat("y", 200)+`"`))
	path := segments(t, d)[0]
	data, err := d.ReadFile(path)
	require.NoError(t, err)
	d.WriteFile(path, flip(data, bytes.Index(data, []byte(` 2500 "user-2500"`))+30))
	v := l.View(l.NextOffset())
	next := int64(0)
	for err == nil {
		err = v.Each(next, 5000, 1<<24, func(r *logfile.Record) {
			assert.Equal(t, next, r.Offset)
			assert.Equal(t, `"`+strings.Repeat("y", 200)+`"`, string(r.Value))
			next++
		})
	}
	var bad *logfile.CorruptError
	require.ErrorAs(t, err, &bad)
	assert.Greater(t, next, int64(2000), "up to the damaged block")
	assert.Less(t, next, int64(2500))
	require.ErrorIs(t, v.Each(-1, 1, 1, nil), logfile.ErrBelowStart)
}

// Of a frame of many blocks the head and the wanted blocks are read, each once.
func TestEachReadsLittleOfLargeFrames(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	value := `"` + strings.Repeat("y", 100) + `"`
	put(t, l, next(l, 5000, value))
	put(t, l, next(l, 1, "1"))
	put(t, l, next(l, 5000, value))
	var reads, bytes int
	d.Fault = func(op faultfs.Op) error {
		if op.Kind == "read" {
			reads, bytes = reads+1, bytes+op.Len
		}
		return nil
	}
	n := 0
	require.NoError(t, l.View(l.NextOffset()).Each(2500, 500, 1<<24, func(*logfile.Record) { n++ }))
	assert.Equal(t, 500, n)
	assert.LessOrEqual(t, reads, 2)
	assert.LessOrEqual(t, bytes, 4<<10+3*64<<10, "500 lines of 160 bytes lie in three blocks at most")
}

func TestEachAllocatesLittle(t *testing.T) {
	l := benchLog(t)
	for range 10 {
		put(t, l, next(l, 1000, `{"post":7,"payload":"0123456789012345678901234567890123456789"}`))
	}
	v := l.View(l.NextOffset())
	n := 0
	take := func(*logfile.Record) { n++ }
	from := int64(0)
	read := func() {
		require.NoError(t, v.Each(from, 500, 1<<20, take))
		from = (from + 500) % 9000
	}
	read()
	require.LessOrEqual(t, testing.AllocsPerRun(50, read), 15.0)
}

// An estimate is near what is read, whatever the frames are like.
func TestViewEstimates(t *testing.T) {
	l := create(t, faultfs.New(), options("b"))
	value := `"` + strings.Repeat("y", 100) + `"`
	for i := range 300 {
		n := 1 + i%30
		if i%50 == 7 {
			n = 3000
		}
		put(t, l, next(l, n, value))
	}
	v := l.View(l.NextOffset() - 10)
	rnd := rand.New(rand.NewSource(3))
	for range 500 / stride(4) {
		from, n := rnd.Int63n(v.HighWatermark()), 100+rnd.Intn(5000)
		size := int64(0)
		require.NoError(t, v.Each(from, n, 1<<30, func(r *logfile.Record) {
			size += int64(len("2026-11-22 17:16:03.123 liked 0  PRODUCE\n") + len(fmt.Sprint(r.Offset)) + len(r.Key) + len(r.Value))
		}))
		assert.InDelta(t, size, v.Estimate(from, n), float64(size)/3+8192, "%d from %d", n, from)
	}
	assert.Zero(t, v.Estimate(v.HighWatermark(), 10))
	mixed := mixedLog(t)
	end := mixed.NextOffset()
	assert.InDelta(t, mixed.View(end).Size(), mixed.View(end).Estimate(0, int(end)), float64(mixed.View(end).Size())/50, "over many segments")
}
