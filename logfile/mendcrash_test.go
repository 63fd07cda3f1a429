package logfile_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// crashEverywhere mends copy 1 with a crash after every number of steps: of the process,
// and of the machine, with some of what was not synced lost, or all of it. Afterwards
// crashed looks at the copy, and mended at the one that was mended again if it had to be.
// The damaged file is always there, under its own name or another one.
func (c *copies) crashEverywhere(file string, lenders []int, crashed, mended func(c *copies, stop int)) {
	harmed, err := c.d.ReadFile(file)
	require.NoError(c.t, err)
	for kind := 0; kind < 9; kind += stride(4) {
		rnd := rand.New(rand.NewSource(int64(kind)))
		for stop := 0; ; stop += stride(7) {
			c := *c
			c.d = c.d.Clone()
			c.d.StopAfter(stop)
			err := c.mend(1, lenders...)
			stopped := c.d.Stopped()
			switch kind {
			case 0:
				c.d.Restart()
			case 1:
				c.d.PowerCut(nil)
			default:
				c.d.PowerCut(rnd)
			}
			require.True(c.t, c.hasFile(file, harmed), "%d steps, kind %d", stop, kind)
			crashed(&c, stop)
			if err == nil {
				require.False(c.t, c.damaged(), "it was mended, and is damaged after a crash, %d steps of kind %d", stop, kind)
			} else {
				require.NoError(c.t, c.mend(1, lenders...), "%d steps, kind %d", stop, kind)
			}
			require.True(c.t, c.hasFile(file, harmed), "%d steps, kind %d", stop, kind)
			mended(&c, stop)
			if !stopped {
				require.NoError(c.t, err)
				require.Greater(c.t, stop, 5)
				break
			}
		}
	}
}

// hasFile reports whether a file, or one of the copies of it, has some content.
func (c *copies) hasFile(path string, content []byte) bool {
	names := []string{path}
	for i := range 3 {
		names = append(names, fmt.Sprint(path, ".damaged-", i))
	}
	return slices.ContainsFunc(names, func(name string) bool {
		text, err := c.d.ReadFile(name)
		return err == nil && bytes.Equal(text, content)
	})
}

// damaged reports whether copy 1 needs another one.
func (c *copies) damaged() bool {
	d := c.d
	defer func() { c.d = d }()
	c.d = d.Clone()
	return c.mend(1) != nil
}

// A crash at every step leaves parts that are damaged still, or mended.
func TestMendPartsCrash(t *testing.T) {
	c := newCompactedCopies(t, 300)
	want := c.records(3)
	require.Greater(t, len(c.parts(1)), 1)
	c.harmPart(c.parts(1)[0], 0.4)
	c.crashEverywhere(c.parts(1)[0], []int{1, 2, 3}, func(*copies, int) {}, func(c *copies, stop int) {
		equalRecords(t, want, c.records(1), fmt.Sprint(stop, " steps"))
	})
}

// The damaged parts may be of a newer generation than those that others have. Once one of
// them is gone, the others do not hide the parts that took their place.
func TestMendOlderPartsCrash(t *testing.T) {
	c := newCompactedCopies(t, 300)
	want := c.records(3)
	c.compactAgain(1, 9)
	newer := c.parts(1)
	require.Greater(t, len(newer), 2)
	for _, path := range newer {
		require.Contains(t, path, "-00000000000000000009.log")
	}
	c.harmPart(newer[0], 0.4)
	all := 0
	c.crashEverywhere(newer[0], []int{2, 3}, func(c *copies, stop int) {
		now := c.parts(1)
		gone := slices.ContainsFunc(newer, func(path string) bool { return !slices.Contains(now, path) })
		if gone {
			all++
			equalRecords(t, want, c.records(1), fmt.Sprint(stop, " steps"))
		}
	}, func(c *copies, stop int) {
		equalRecords(t, want, c.records(1), fmt.Sprint(stop, " steps"))
		for _, path := range c.parts(1) {
			require.False(t, strings.HasSuffix(path, "-00000000000000000009.log"), path)
		}
	})
	require.Greater(t, all, 5)
}

// Newer parts count only once all of them are there: until then the damaged ones are
// read as before.
func TestMendNewerPartsCrash(t *testing.T) {
	c := newCompactedCopies(t, 300)
	want := c.records(3)
	for b := 2; b <= 3; b++ {
		c.compactAgain(b, 9)
	}
	require.Greater(t, len(c.parts(2)), 2)
	c.harmPart(c.parts(1)[0], 0.4)
	c.crashEverywhere(c.parts(1)[0], []int{2, 3}, func(c *copies, stop int) {
		l, _, err := logfile.Open(c.d.Clone(), copyDir(1), c.opt)
		require.NoError(t, err, "%d steps: %v", stop, c.parts(1))
		require.NoError(t, l.Close())
	}, func(c *copies, stop int) {
		equalRecords(t, want, c.records(1), fmt.Sprint(stop, " steps"))
	})
}

// A crash at every step leaves a log that is damaged still, or mended.
func TestMendCheckpointCrash(t *testing.T) {
	for _, torn := range []bool{false, true} {
		c := cutStart(t)
		if torn {
			c.tearCheckpoint(1)
		} else {
			c.hurtCheckpoint(1)
		}
		segs := c.segments(1)
		c.crashEverywhere(segs[len(segs)-1], []int{2, 3}, func(*copies, int) {}, func(c *copies, _ int) {
			if !torn {
				c.whole(1)
				return
			}
			l, rec, err := logfile.Open(c.d, copyDir(1), c.opt)
			require.NoError(t, err)
			require.EqualValues(t, 20, rec.LogStart)
			require.NoError(t, l.Close())
		})
	}
}
