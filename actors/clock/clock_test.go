package clock

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// world has two clocks: one that is set, and one that only goes.
type world struct {
	wall   time.Time
	steady time.Duration
}

func (w *world) pass(d time.Duration) {
	w.wall, w.steady = w.wall.Add(d), w.steady+d
}

const bound = 10 * time.Minute

func newWorld() (w *world, c *Clock, said *[]string) {
	w = &world{wall: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), steady: time.Hour}
	said = &[]string{}
	c = New(func() time.Time { return w.wall }, func() time.Duration { return w.steady }, bound,
		func(ahead time.Duration, believed bool) { *said = append(*said, fmt.Sprint(ahead, " ", believed)) })
	return w, c, said
}

// A clock that is years ahead for a while was never right.
func TestAJumpThatIsTakenBack(t *testing.T) {
	w, c, said := newWorld()
	right := w.wall
	at := func() time.Duration { return time.UnixMilli(c.Millis()).Sub(right) }
	assert.Zero(t, at())
	w.wall = w.wall.AddDate(4, 0, 0)
	assert.Zero(t, at())
	w.pass(9 * time.Minute)
	assert.Equal(t, 9*time.Minute, at(), "it goes on")
	w.wall = right.Add(9 * time.Minute)
	assert.Equal(t, 9*time.Minute, at())
	w.wall = w.wall.AddDate(4, 0, 0)
	w.pass(9 * time.Minute)
	assert.Equal(t, 18*time.Minute, at(), "another jump begins anew")
	assert.Equal(t, []string{"35064h0m0s false", "35064h0m0s false"}, *said)
}

// A clock that stays ahead was behind before: of a machine without a battery, or one that
// has slept.
func TestAJumpThatLasts(t *testing.T) {
	w, c, said := newWorld()
	c.Millis()
	w.wall = w.wall.AddDate(4, 0, 0)
	c.Millis()
	w.pass(bound)
	assert.Equal(t, w.wall.UnixMilli(), c.Millis())
	w.pass(time.Second)
	assert.Equal(t, w.wall.UnixMilli(), c.Millis())
	assert.Equal(t, []string{"35064h0m0s false", "35064h0m0s true"}, *said)
}

// Small steps ahead, all steps back and hours without a look are as the clock says.
func TestStepsThatAreBelieved(t *testing.T) {
	w, c, said := newWorld()
	for _, step := range []time.Duration{time.Second, bound, -time.Second, -3 * time.Hour, bound, -365 * 24 * time.Hour} {
		w.wall = w.wall.Add(step)
		assert.Equal(t, w.wall.UnixMilli(), c.Millis(), step)
		w.pass(48 * time.Hour)
		assert.Equal(t, w.wall.UnixMilli(), c.Millis(), step)
	}
	assert.Empty(t, *said)
}

func TestWithoutABound(t *testing.T) {
	w, _, _ := newWorld()
	c := New(func() time.Time { return w.wall }, func() time.Duration { return w.steady }, 0, nil)
	w.wall = w.wall.AddDate(9, 0, 0)
	assert.Equal(t, w.wall.UnixMilli(), c.Millis())
}
