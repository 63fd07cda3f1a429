package logfile_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// harmed is text with the bytes from to to replaced.
func harmed(text []byte, from, to uint16, by []byte) []byte {
	lo := int(from) % (len(text) + 1)
	hi := lo + int(to)%(len(text)-lo+1)
	return append(append(append([]byte(nil), text[:lo]...), by...), text[hi:]...)
}

// FuzzMend: whatever stands in a file of one copy, mending it from the others
// says that it cannot, or leaves what was there, at most without the end of
// the newest segment.
func FuzzMend(f *testing.F) {
	f.Add(byte(0), uint16(0), uint16(1), []byte("x"))
	f.Add(byte(0), uint16(300), uint16(200), []byte(nil))
	f.Add(byte(2), uint16(250), uint16(60), make([]byte, 512))
	f.Add(byte(255), uint16(400), uint16(65535), []byte("#f 1 31 3 r 60 1 2 5 00000000 30 00000000\nx\n"))
	whole := sync.OnceValue(func() *copies { return newCopies(&testing.T{}, true) })
	f.Fuzz(func(t *testing.T, file byte, from, to uint16, by []byte) {
		c := *whole()
		c.t, c.d = t, c.d.Clone()
		names := c.segments(1)
		n := int(file) % len(names)
		c.change(names[n], func(b []byte) []byte { return harmed(b, from, to, by) })
		if c.mend(1, 2, 3) != nil {
			return
		}
		require.NoError(t, logfile.Verify(c.d, copyDir(1), func(path string, at int64, err error) {
			t.Errorf("%s at %d: %v", path, at, err)
		}))
		l, rec, err := logfile.Open(c.d, copyDir(1), c.opt)
		if err != nil {
			t.Fatalf("mended, but: %v", err)
		}
		require.Equal(t, copyIdentity(1), rec.Identity)
		got := all(t, l)
		if n < len(names)-1 {
			require.Len(t, got, len(c.want))
		}
		for i := range got {
			got[i].AppendTime = c.want[i].AppendTime
			require.Equal(t, c.want[i], got[i])
		}
		require.NoError(t, l.Close())
	})
}

// FuzzCompactedLog: whatever stands in a part, an index or a segment of a
// compacted log, opening and reading it fails or returns what was written.
func FuzzCompactedLog(f *testing.F) {
	f.Add(byte(0), uint16(0), uint16(1), []byte("x"))
	f.Add(byte(1), uint16(40), uint16(8), []byte(nil))
	f.Add(byte(2), uint16(200), uint16(65535), []byte("#k 1 7 70 0 1 3 0 40 9 0 5 6 00000000\n"))
	opt := options("b")
	opt.SegmentBytes = 700
	k := newKeyed(f, 3, opt)
	k.fill(80, 6)
	c := k.plan(7, 0)
	k.compact(c)
	require.NoError(f, k.l.Close())
	want := map[int64]logfile.Record{}
	for _, r := range k.raw {
		want[r.Offset] = r
	}
	list, err := k.d.ReadDir(dir)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, file byte, from, to uint16, by []byte) {
		d := k.d.Clone()
		path := dir + "/" + list[int(file)%len(list)].Name()
		sound, err := d.ReadFile(path)
		require.NoError(t, err)
		d.WriteFile(path, harmed(sound, from, to, by))
		l, _, err := logfile.Open(d, dir, opt)
		if err != nil {
			return
		}
		defer func() { require.NoError(t, l.Close()) }()
		v := l.View(l.NextOffset())
		for at := v.Earliest(); at < v.HighWatermark(); {
			recs, err := v.Read(nil, at, 5, 1<<20)
			if err != nil || len(recs) == 0 {
				return
			}
			for _, r := range recs {
				require.GreaterOrEqual(t, r.Offset, at)
				w := want[r.Offset]
				require.Equal(t, []any{w.Timestamp, string(w.Key), string(w.Value)}, []any{r.Timestamp, string(r.Key), string(r.Value)})
				at = r.Offset + 1
			}
		}
	})
}
