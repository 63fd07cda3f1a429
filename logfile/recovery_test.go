package logfile_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// scene is a closed log with the file positions at which its frames begin.
type scene struct {
	d      *faultfs.FS
	path   string
	data   []byte
	starts []int  // of every frame
	other  []byte // the same entries in the segment of another replica, if it was made
	frames []logfile.Frame
}

// newScene writes frames of a few lines each, one batch a frame, synced after
// each when synced is set; then a sync mark when marked is set.
func newScene(t testing.TB, n int, synced, marked bool, value string) *scene {
	s := &scene{d: faultfs.New()}
	l := create(t, s.d, options("boot-1"))
	for range n {
		f := next(l, 2, value)
		s.frames = append(s.frames, f)
		var b logfile.Batch
		require.NoError(t, l.Append(&b, []logfile.Frame{f}))
		run(t, &b)
		if synced {
			l.Synced(l.LastIndex())
		}
	}
	if marked {
		var b logfile.Batch
		require.True(t, l.StageSyncMark(&b))
		run(t, &b)
	}
	require.NoError(t, l.Close())
	s.path = segments(t, s.d)[0]
	var err error
	s.data, err = s.d.ReadFile(s.path)
	require.NoError(t, err)
	for at := 0; ; at++ {
		i := bytes.Index(s.data[at:], []byte("\n#f "))
		if i < 0 {
			break
		}
		at += i
		s.starts = append(s.starts, at+1)
	}
	require.Len(t, s.starts, n)
	return s
}

// reopen opens a copy of the log whose file holds data.
func (s *scene) reopen(t testing.TB, data []byte, boot string) ([]logfile.Frame, *logfile.Recovered, *faultfs.FS, error) {
	d := s.d.Clone()
	d.WriteFile(s.path, data)
	l, rec, err := logfile.Open(d, dir, options(boot))
	if err != nil {
		after, rerr := d.ReadFile(s.path)
		require.NoError(t, rerr)
		require.True(t, bytes.Equal(data, after), "a refused log must not be touched")
		return nil, nil, d, err
	}
	defer l.Close()
	return all(t, l), rec, d, nil
}

func splice(data []byte, at int, with []byte) []byte {
	out := bytes.Clone(data)
	copy(out[at:], with)
	return out
}

func flip(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 1
	return out
}

// TestRecovery: what may have happened to a segment of five frames of over a
// sector each, and what becomes of it. kept is how many frames are left, -1
// that it is damage.
func TestRecovery(t *testing.T) {
	value := `"` + string(bytes.Repeat([]byte("x"), 600)) + `"`
	type row struct {
		name                 string
		synced, marked       bool
		change               func(s *scene) []byte
		sameBoot, otherBoots int
	}
	last := func(s *scene) int { return s.starts[4] }
	zero := func(from, to int) []byte { return make([]byte, to-from) }
	sector := func(at int) int { return (at + 511) / 512 * 512 }
	rows := []row{
		{"nothing", true, false, func(s *scene) []byte { return s.data }, 5, 5},
		{"torn write in the middle of the last frame", true, false, func(s *scene) []byte { return s.data[:last(s)+300] }, 4, 4},
		{"torn write in the header of the last frame", true, false, func(s *scene) []byte { return s.data[:last(s)+10] }, 4, 4},
		{"last frame never written", true, false, func(s *scene) []byte { return s.data[:last(s)] }, 4, 4},
		{"zeroed tail sectors", true, false, func(s *scene) []byte {
			at := sector(last(s) + 100)
			return splice(s.data, at, zero(at, len(s.data)))
		}, -1, 4},
		{"whole last frame zero", true, false, func(s *scene) []byte {
			return splice(s.data, last(s), zero(last(s), len(s.data)))
		}, -1, 4},
		{"zeros after the last frame", true, false, func(s *scene) []byte {
			return append(bytes.Clone(s.data), make([]byte, 1000)...)
		}, -1, 5},
		{"garbage after the last frame", true, false, func(s *scene) []byte {
			return append(bytes.Clone(s.data), "garbage\nand more"...)
		}, -1, 5},
		{"flipped bit in the last frame, with no sync mark after it", true, false, func(s *scene) []byte { return flip(s.data, last(s)+400) }, -1, 4},
		{"flipped bit in the last frame, with a sync mark after it", true, true, func(s *scene) []byte { return flip(s.data, last(s)+400) }, -1, -1},
		{"zeroed sector in the last frame, with a sync mark after it", true, true, func(s *scene) []byte {
			at := sector(last(s))
			return splice(s.data, at, zero(at, at+512))
		}, -1, -1},
		{"flipped bit in a middle frame", true, false, func(s *scene) []byte { return flip(s.data, s.starts[2]+400) }, -1, -1},
		{"zeroed sector in a middle frame that was synced", true, false, func(s *scene) []byte {
			at := sector(s.starts[2])
			return splice(s.data, at, zero(at, at+512))
		}, -1, -1},
		{"earlier unsynced sector missing, later writes present", false, false, func(s *scene) []byte {
			at := sector(s.starts[2])
			return splice(s.data, at, zero(at, at+512))
		}, -1, 2},
		{"flipped bit in an unsynced middle frame", false, false, func(s *scene) []byte { return flip(s.data, s.starts[2]+400) }, -1, -1},
		{"a frame missing", true, false, func(s *scene) []byte {
			return append(bytes.Clone(s.data[:s.starts[2]]), s.data[s.starts[3]:]...)
		}, -1, -1},
		{"a frame twice", true, false, func(s *scene) []byte {
			return append(bytes.Clone(s.data), s.data[last(s):]...)
		}, -1, -1},
		{"header of the segment torn", true, false, func(s *scene) []byte { return s.data[:40] }, -1, -1},
		{"empty file", true, false, func(*scene) []byte { return nil }, -1, -1},
	}
	for _, r := range rows {
		s := newScene(t, 5, r.synced, r.marked, value)
		for boot, want := range map[string]int{"boot-1": r.sameBoot, "boot-2": r.otherBoots} {
			t.Run(r.name+"/"+boot, func(t *testing.T) {
				data := r.change(s)
				frames, rec, d, err := s.reopen(t, data, boot)
				if want < 0 {
					var bad *logfile.CorruptError
					require.ErrorAs(t, err, &bad)
					assert.Equal(t, s.path, bad.Path)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, s.frames[:want], frames)
				keepsBroken(t, d, rec, data)
			})
		}
	}
}

// keepsBroken checks that what was cut is kept, byte for byte.
func keepsBroken(t testing.TB, d *faultfs.FS, rec *logfile.Recovered, data []byte) {
	if rec.CutBytes == 0 {
		require.Empty(t, rec.BrokenCopy)
		return
	}
	kept, err := d.ReadFile(rec.BrokenCopy)
	require.NoError(t, err)
	require.Equal(t, data[len(data)-int(rec.CutBytes):], kept)
}

func TestCutAtEveryByteOfTheLastThreeFrames(t *testing.T) {
	s := newScene(t, 6, true, true, "1")
	for cut := s.starts[3]; cut <= len(s.data); cut++ {
		for _, boot := range []string{"boot-1", "boot-2"} {
			whole := 0 // frames that are there as a whole
			for whole < 6 && cut >= s.end(whole) {
				whole++
			}
			frames, rec, d, err := s.reopen(t, s.data[:cut], boot)
			require.NoError(t, err, "cut at %d", cut)
			require.Equal(t, s.frames[:whole], frames, "cut at %d", cut)
			keepsBroken(t, d, rec, s.data[:cut])
			boundary := cut == len(s.data)
			for i := range 6 {
				boundary = boundary || cut == s.end(i)
			}
			require.Equal(t, boundary, rec.CutBytes == 0, "cut at %d", cut)
		}
	}
}

// end is where frame i ends.
func (s *scene) end(i int) int {
	if i+1 < len(s.starts) {
		return s.starts[i+1]
	}
	return bytes.Index(s.data, []byte("\n#s ")) + 1
}

func TestBitFlippedAtEveryByteOfAMiddleFrame(t *testing.T) {
	for name, synced := range map[string]bool{"synced": true, "not synced": false} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 6, synced, synced, "1")
			for at := s.starts[2]; at < s.starts[4]; at++ {
				for bit := range 8 {
					data := bytes.Clone(s.data)
					data[at] ^= 1 << bit
					for _, boot := range []string{"boot-1", "boot-2"} {
						frames, _, _, err := s.reopen(t, data, boot)
						if err == nil {
							require.Equal(t, s.frames, frames, "bit %d of byte %d", bit, at)
							continue
						}
						var bad *logfile.CorruptError
						require.True(t, errors.As(err, &bad), "bit %d of byte %d: %v", bit, at, err)
					}
				}
			}
		})
	}
}

func TestBitFlippedBeforeASyncMarkNeverCuts(t *testing.T) {
	s := newScene(t, 4, true, true, "1")
	for at := s.starts[2]; at < s.end(3); at++ {
		_, _, _, err := s.reopen(t, flip(s.data, at), "boot-2")
		var bad *logfile.CorruptError
		require.True(t, errors.As(err, &bad), "byte %d: %v", at, err)
	}
}

func TestFileOfAnotherReplicaIsRefused(t *testing.T) {
	s := newScene(t, 3, true, false, "1")
	other := faultfs.New()
	require.NoError(t, other.MkdirAll("/data", 0o755))
	id := identity
	id.ReplicaID = 8
	l, err := logfile.Create(other, dir, id, logfile.Checkpoint{}, options("boot-1"))
	require.NoError(t, err)
	put(t, l, s.frames...)
	require.NoError(t, l.Close())
	theirs, err := other.ReadFile(s.path)
	require.NoError(t, err)
	at := bytes.Index(theirs, []byte("\n#f ")) + 1
	mixed := append(bytes.Clone(s.data[:s.starts[0]]), theirs[at:]...)
	_, _, _, err = s.reopen(t, mixed, "boot-1")
	var bad *logfile.CorruptError
	require.ErrorAs(t, err, &bad)
}

func TestNewerFormatIsRefusedUntouched(t *testing.T) {
	s := newScene(t, 2, true, false, "1")
	line, _, _ := bytes.Cut(s.data, []byte{'\n'})
	newer := bytes.Replace(line[:len(line)-9], []byte("#i 1 "), []byte("#i 2 "), 1)
	newer = append(newer, " "+hex(logfile.Checksum(newer))...)
	_, _, _, err := s.reopen(t, append(newer, s.data[len(line):]...), "boot-2")
	assert.ErrorIs(t, err, logfile.ErrNewerFormat)
}

// TestZeroedTailOfATinyFrame: what is left of a write that came short has no
// zeros, so without a power cut they are damage, wherever they begin, also in a
// header whose line has no end any more.
func TestZeroedTailOfATinyFrame(t *testing.T) {
	s := newScene(t, 3, true, false, "1")
	for at := s.starts[2]; at < len(s.data); at++ {
		data := splice(s.data, at, make([]byte, len(s.data)-at))
		_, _, _, err := s.reopen(t, data, "boot-1")
		var damage *logfile.CorruptError
		require.ErrorAs(t, err, &damage, "zeros from byte %d of the frame", at-s.starts[2])
		frames, _, _, err := s.reopen(t, data, "boot-2")
		require.NoError(t, err, "zeros from byte %d of the frame", at-s.starts[2])
		require.Len(t, frames, 2)
	}
}
