package actors

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// What happens every so many ticks happens as often for a replica that gets some of them
// only, from whichever tick of its broker it began.
func TestTimesOfAReplicaThatRests(t *testing.T) {
	times := func(ticks ...int) (n int) {
		p := &partitionActor{}
		for _, at := range ticks {
			p.began = ticks[0] - 1
			p.ticked, p.ticks = p.ticks, at-p.began
			if p.isTime(7) {
				n++
			}
		}
		return n
	}
	var every, some []int
	for at := 1000; at < 1210; at++ {
		every = append(every, at)
		if at%3 == 0 || at == 1000 {
			some = append(some, at)
		}
	}
	assert.Equal(t, 30, times(every...))
	assert.Equal(t, 30, times(some...))
	assert.Equal(t, 1, times(1000, 1209), "not once for each time that was missed")
}
