package logfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// blockEvent is something that a disk may do to a stretch of a segment.
type blockEvent struct {
	name  string
	size  int
	crash bool // a power cut explains it, as long as the stretch was not synced
	with  func(s *scene, from, to int) []byte
}

var blockEvents = []blockEvent{
	{"a sector never written back", 512, true, func(_ *scene, from, to int) []byte { return make([]byte, to-from) }},
	{"a zeroed 4 KiB block", 4096, true, func(_ *scene, from, to int) []byte { return make([]byte, to-from) }},
	{"a block from the beginning of the file", 512, false, func(s *scene, from, to int) []byte { return s.data[:to-from] }},
	{"the block before it", 512, false, func(s *scene, from, to int) []byte { return s.data[max(from-512, 0):][:to-from] }},
	{"a block of the same log of another replica", 512, false, func(s *scene, from, to int) []byte { return s.other[from:to] }},
	{"noise", 512, false, func(_ *scene, from, to int) []byte {
		return bytes.Repeat([]byte{0xa5, 0x5a, '\n', '#'}, 1024)[:to-from]
	}},
}

// TestBlockEvents lets each event happen to every sector of a segment. Whatever
// it was, a log that opens holds a prefix of the entries, and all of those that
// the lines outside of the block prove to be synced.
func TestBlockEvents(t *testing.T) {
	value := `"` + strings.Repeat("v", 700) + `"`
	for _, kind := range []struct {
		name           string
		synced, marked bool
	}{
		{"nothing proven", false, false},
		{"all but the last entry proven", true, false},
		{"all proven", true, true},
	} {
		s := newScene(t, 6, kind.synced, kind.marked, value)
		s.other = append(otherReplica(t, s.frames), make([]byte, 512)...)
		for _, e := range blockEvents {
			t.Run(kind.name+"/"+e.name, func(t *testing.T) {
				cut := 0
				for from := 0; from < len(s.data); from += 512 {
					to := min(from+e.size, len(s.data))
					data := splice(s.data, from, e.with(s, from, to))
					for _, boot := range []string{"boot-1", "boot-2"} {
						if s.survives(t, data, boot, s.proven(kind.synced, from, to)) {
							cut++
						}
					}
				}
				if e.crash && !kind.synced {
					assert.Greater(t, cut, 3, "a crash explains it: no damage")
				}
				if kind.marked && e.size == 512 {
					assert.LessOrEqual(t, cut, 1, "only the sector with the mark itself can hide that")
				}
			})
		}
	}
}

// proven is how many entries the lines outside of a block prove to be synced.
func (s *scene) proven(synced bool, from, to int) (n int) {
	intact := func(at int) bool {
		return at+bytes.IndexByte(s.data[at:], '\n') < from || at >= to
	}
	for i, at := range s.starts {
		if synced && intact(at) {
			n = max(n, i)
		}
	}
	if mark := bytes.LastIndex(s.data, []byte("\n#s ")) + 1; mark > 0 && intact(mark) {
		n = len(s.frames)
	}
	return n
}

// survives opens the changed segment and reports whether it lost entries.
func (s *scene) survives(t *testing.T, data []byte, boot string, proven int) bool {
	t.Helper()
	frames, rec, d, err := s.reopen(t, data, boot)
	if err != nil {
		var bad *logfile.CorruptError
		require.True(t, errors.As(err, &bad), "%v", err)
		require.Equal(t, s.path, bad.Path)
		require.LessOrEqual(t, bad.Offset, int64(len(data)))
		return false
	}
	if rec.Identity != identity {
		return false // the first line is of another replica: for the caller to refuse
	}
	for i := range frames {
		require.Equal(t, s.frames[i], frames[i], "an entry that was never written")
	}
	require.GreaterOrEqual(t, len(frames), proven, "synced entries are lost")
	if bytes.Equal(data, s.data) {
		require.Len(t, frames, len(s.frames))
	}
	keepsBroken(t, d, rec, data)
	return len(frames) < len(s.frames)
}

// otherReplica is the segment of another replica with the same entries.
func otherReplica(t *testing.T, frames []logfile.Frame) []byte {
	d := faultfs.New()
	require.NoError(t, d.MkdirAll("/data", 0o755))
	id := identity
	id.Broker, id.ReplicaID = 2, 8
	l, err := logfile.Create(d, dir, id, logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, options("boot-1"))
	require.NoError(t, err)
	put(t, l, frames...)
	require.NoError(t, l.Close())
	data, err := d.ReadFile(segments(t, d)[0])
	require.NoError(t, err)
	return data
}

// TestLaterWritesWithoutAnEarlierOne: of writes that were not synced a power cut
// may keep any, the later ones without the earlier ones too. What is left is the
// entries before the first missing one, whichever are kept.
func TestLaterWritesWithoutAnEarlierOne(t *testing.T) {
	const n = 5
	for kept := range 1 << n {
		d := faultfs.New()
		l := create(t, d, options("boot-1"))
		path := segments(t, d)[0]
		whole := func() []byte {
			b, err := d.ReadFile(path)
			require.NoError(t, err)
			return b
		}
		ends := []int{len(whole())}
		var frames []logfile.Frame
		for range n { // each fills sectors of its own, and parts of others
			f := next(l, 1, `"`+strings.Repeat("x", 2000)+`"`)
			var b logfile.Batch
			require.NoError(t, l.Append(&b, []logfile.Frame{f}))
			require.NoError(t, b.Execute())
			frames, ends = append(frames, f), append(ends, len(whole()))
		}
		require.NoError(t, l.Close())
		data, want := whole(), 0
		for want < n && kept>>want&1 == 1 {
			want++
		}
		for i := range n {
			if kept>>i&1 == 0 {
				clear(data[ends[i]:ends[i+1]])
			}
		}
		d.WriteFile(path, data)
		l, rec, err := logfile.Open(d, dir, options("boot-2"))
		require.NoError(t, err, "kept %05b", kept)
		require.Equal(t, frames[:want], append([]logfile.Frame{}, all(t, l)...), "kept %05b", kept)
		require.Equal(t, want < n, rec.CutBytes > 0)
		require.NoError(t, l.Close())
	}
}

// TestErrorsNameTheByte: damage is reported with the file and the position at
// which the damaged entry or line begins.
func TestErrorsNameTheByte(t *testing.T) {
	s := newScene(t, 4, true, true, "1")
	mark := bytes.LastIndex(s.data, []byte("\n#s ")) + 1
	for _, at := range []int{s.starts[0], s.starts[1] + 3, s.starts[2] + 90, s.end(2) - 1, mark - 1, mark + 4} {
		want := 0
		for _, begins := range append(append([]int{}, s.starts...), mark) {
			if begins <= at {
				want = begins
			}
		}
		data := append(flip(s.data, at), s.data[mark:]...) // a further mark, so that the end is proven too
		_, _, _, err := s.reopen(t, data, "boot-1")
		var bad *logfile.CorruptError
		require.ErrorAs(t, err, &bad, "byte %d", at)
		assert.EqualValues(t, want, bad.Offset, "byte %d: %v", at, err)
		assert.ErrorContains(t, err, fmt.Sprintf("%s: damaged at byte %d: ", s.path, want))
	}
}

// TestWhatFollowsTheSyncMark: a mark covers what is before it. Lines of this
// replica after it, a vote or a checkpoint, can be lost by a power cut, and the
// entries stay.
func TestWhatFollowsTheSyncMark(t *testing.T) {
	for name, stage := range map[string]func(l *logfile.Log, b *logfile.Batch){
		"vote":       func(l *logfile.Log, b *logfile.Batch) { l.SetHardState(b, 9, 3) },
		"checkpoint": func(l *logfile.Log, b *logfile.Batch) { l.StageCheckpoint(b) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 3, true, true, "1")
			l, _ := open(t, s.d, options("boot-1"))
			var b logfile.Batch
			stage(l, &b)
			require.NoError(t, b.Execute())
			require.NoError(t, l.Close())
			marked, err := s.d.ReadFile(s.path)
			require.NoError(t, err)
			from := bytes.LastIndex(marked[:len(marked)-1], []byte{'\n'}) + 1
			for at := from; at < len(marked); at++ {
				frames, rec, _, err := s.reopen(t, marked[:at], "boot-1")
				require.NoError(t, err)
				require.Equal(t, s.frames, frames)
				require.EqualValues(t, at-from, rec.CutBytes)
				require.EqualValues(t, 1, rec.HardTerm, "a vote that was cut short does not count")
			}
			frames, rec, _, err := s.reopen(t, marked, "boot-1")
			require.NoError(t, err)
			require.Equal(t, s.frames, frames)
			require.Zero(t, rec.CutBytes)
			require.Equal(t, name == "vote", rec.Vote == 3)
			require.False(t, rec.Clean)
		})
	}
}

// TestMarkAtTheBeginningOfASector: the sector before a sync mark is lost, and with
// it the LF before the mark, which still proves that the entries were synced.
func TestMarkAtTheBeginningOfASector(t *testing.T) {
	for pad := 600; ; pad++ {
		require.Less(t, pad, 600+512)
		d := faultfs.New()
		l := create(t, d, options("boot-1"))
		put(t, l, next(l, 1, "1"))
		put(t, l, next(l, 1, `"`+strings.Repeat("v", pad)+`"`))
		if l.Bytes()%512 != 0 {
			continue
		}
		mark := int(l.Bytes())
		var b logfile.Batch
		require.True(t, l.StageSyncMark(&b))
		run(t, &b)
		require.NoError(t, l.Close())
		path := segments(t, d)[0]
		data, err := d.ReadFile(path)
		require.NoError(t, err)
		d.WriteFile(path, splice(data, mark-512, make([]byte, 512)))
		_, _, err = logfile.Open(d, dir, options("boot-2"))
		var bad *logfile.CorruptError
		require.ErrorAs(t, err, &bad)
		return
	}
}
