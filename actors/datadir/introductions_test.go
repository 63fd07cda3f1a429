package datadir

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIntroductions(t *testing.T) {
	broken := errors.New("disk")
	tests := map[string]struct {
		running, opened []int
		answers         map[int]error // no entry: no answer in time
		in              []int
		refused         []int
	}{
		"all open together":                   {nil, []int{1, 2, 3}, map[int]error{1: nil, 2: nil, 3: nil}, []int{1, 2, 3}, nil},
		"one comes back":                      {[]int{1, 3}, []int{2}, map[int]error{1: nil, 2: nil, 3: nil}, []int{2}, nil},
		"its own ledger fails":                {[]int{1, 3}, []int{2}, map[int]error{1: nil, 2: broken, 3: nil}, nil, []int{2}},
		"one of two peers fails":              {[]int{1, 3}, []int{2}, map[int]error{1: broken, 2: nil, 3: nil}, []int{2}, nil},
		"no peer can note it":                 {[]int{1, 3}, []int{2}, map[int]error{1: broken, 2: nil, 3: broken}, nil, []int{2}},
		"no peer answers":                     {[]int{1, 3}, []int{2}, map[int]error{2: nil}, nil, []int{2}},
		"alone":                               {nil, []int{2}, map[int]error{2: nil}, []int{2}, nil},
		"one of three hangs at the start":     {nil, []int{1, 2, 3}, map[int]error{1: nil, 3: nil}, []int{1, 3}, []int{2}},
		"two of three hang at the start":      {nil, []int{1, 2, 3}, map[int]error{1: nil}, nil, []int{1, 2, 3}},
		"a newcomer is not its own only peer": {[]int{1}, []int{2}, map[int]error{1: broken, 2: nil}, nil, []int{2}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			i := NewIntroductions()
			for _, b := range tt.opened {
				i.Opened(b)
			}
			i.Begin(tt.running, false)
			for b, err := range tt.answers {
				i.Answered(i.Number()-1, b, nil) // to an earlier introduction
				i.Answered(i.Number(), b, err)
				i.Answered(i.Number(), b, nil) // again
			}
			missing := len(tt.running) + len(tt.opened) - len(tt.answers)
			assert.Equal(t, missing == 0, i.Complete())
			assert.Equal(t, missing, i.TimeOut())
			require.True(t, i.Complete())
			in, refused := i.Conclude()
			assert.Equal(t, tt.in, in)
			assert.Len(t, refused, len(tt.refused))
			for _, b := range tt.refused {
				assert.Error(t, refused[b])
			}
			assert.Equal(t, IntroductionIdle, i.State())
		})
	}
}

// TestIntroductionStates goes through the states in every way there is.
func TestIntroductionStates(t *testing.T) {
	i := NewIntroductions()
	assert.Empty(t, i.Begin([]int{1}, true), "nobody is new")
	require.Equal(t, IntroductionIdle, i.State())

	i.Opened(2)
	assert.Empty(t, i.Begin([]int{1}, true), "3 is still opening")
	require.Equal(t, IntroductionGathering, i.State())
	assert.Zero(t, i.TimeOut())
	assert.Equal(t, []int{1, 2}, i.Begin([]int{1}, true), "3 has had its time")
	require.Equal(t, IntroductionNoting, i.State())

	i.Opened(3)
	assert.Empty(t, i.Begin([]int{1}, false), "rounds do not overlap")
	i.Answered(i.Number(), 1, nil)
	assert.False(t, i.Complete())
	i.Gone(2)
	require.True(t, i.Complete(), "2 was closed meanwhile")
	in, refused := i.Conclude()
	assert.Empty(t, in)
	assert.Empty(t, refused)

	assert.Empty(t, i.Begin([]int{1}, true), "the next round waits again for those that open")
	require.Equal(t, IntroductionGathering, i.State())
	i.Gone(3)
	assert.Empty(t, i.Begin([]int{1}, true))
	require.Equal(t, IntroductionIdle, i.State(), "nobody is left to wait for")
	assert.Zero(t, i.TimeOut())
	i.Opened(2)
	assert.Empty(t, i.Begin([]int{1}, true), "a time-out without newcomers hurries nobody")
}
