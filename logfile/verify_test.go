package logfile_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

func TestVerify(t *testing.T) {
	d, l := smallLog(t)
	require.NoError(t, l.Close())
	segs := segments(t, d)
	last := segs[len(segs)-1]
	rows := map[string]struct {
		change func(d *faultfs.FS)
		want   string // path of the one damaged file, "" for none
	}{
		"intact": {func(*faultfs.FS) {}, ""},
		"short last entry": {func(d *faultfs.FS) {
			b, _ := d.ReadFile(last)
			d.WriteFile(last, b[:len(b)-10])
		}, ""},
		"bit in a sealed segment": {func(d *faultfs.FS) {
			b, _ := d.ReadFile(segs[1])
			d.WriteFile(segs[1], flip(b, len(b)-50))
		}, segs[1]},
		"bit in the active segment's last entry": {func(d *faultfs.FS) {
			b, _ := d.ReadFile(last)
			d.WriteFile(last, flip(b, len(b)-50))
		}, last},
		"sealed segment too short": {func(d *faultfs.FS) {
			b, _ := d.ReadFile(segs[1])
			d.WriteFile(segs[1], b[:strings.LastIndex(string(b), "\n#f ")+1])
		}, segs[1]},
		"segment missing": {func(d *faultfs.FS) { _ = d.Remove(segs[1]) }, segs[0]},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			d := d.Clone()
			r.change(d)
			var got []string
			require.NoError(t, logfile.Verify(d, "/data", func(path string, at int64, err error) {
				require.Error(t, err)
				require.GreaterOrEqual(t, at, int64(0))
				got = append(got, path)
			}))
			if r.want == "" {
				assert.Empty(t, got)
				return
			}
			assert.Equal(t, []string{r.want}, got)
		})
	}
}

func TestOpenNoticesDamagedChain(t *testing.T) {
	d, l := smallLog(t)
	require.NoError(t, l.Close())
	segs := segments(t, d)
	for name, change := range map[string]func(d *faultfs.FS){
		"middle segment missing": func(d *faultfs.FS) { _ = d.Remove(segs[1]) },
		"sealed segment shorter": func(d *faultfs.FS) {
			b, _ := d.ReadFile(segs[1])
			d.WriteFile(segs[1], b[:len(b)-1])
		},
		"segment under another name": func(d *faultfs.FS) {
			b, _ := d.ReadFile(segs[1])
			d.WriteFile(dir+"/00000000000000000001.log", b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.Clone()
			change(d)
			_, _, err := logfile.Open(d, dir, smallSegments())
			var bad *logfile.CorruptError
			assert.ErrorAs(t, err, &bad)
		})
	}
}

func TestWalkFrames(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, smallSegments())
	for range 9 {
		put(t, l, next(l, 1, "1"))
	}
	require.NoError(t, l.Close())
	var got []uint64
	require.NoError(t, logfile.WalkFrames(d, "/", func(_ string, id logfile.Identity, f logfile.Frame) error {
		assert.Equal(t, identity, id)
		got = append(got, f.Index)
		return nil
	}))
	assert.Equal(t, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9}, got)
}
