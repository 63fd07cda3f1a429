package bench

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMedian(t *testing.T) {
	assert.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
	assert.InDelta(t, 2.5, median([]float64{4, 1, 2, 3}), 0)
}

// The expected values are those of R's wilcox.test.
func TestMannWhitney(t *testing.T) {
	for _, tc := range []struct {
		a, b []float64
		p    float64
	}{
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 0.007937},
		{[]float64{6, 7, 8, 9, 10}, []float64{1, 2, 3, 4, 5}, 0.007937},
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 0.1},
		{[]float64{1, 3, 5}, []float64{2, 4, 6}, 0.7},
		{[]float64{1, 1, 1}, []float64{1, 1, 1}, 1},
		{nil, []float64{1}, 1},
	} {
		assert.InDelta(t, tc.p, mannWhitney(tc.a, tc.b), 1e-4, "%v %v", tc.a, tc.b)
	}
	same := []float64{1, 2, 2, 3, 3, 4, 5, 5, 6, 7}
	assert.Greater(t, mannWhitney(same, same), 0.9, "ties")
	other := []float64{11, 12, 12, 13, 13, 14, 15, 15, 16, 17}
	assert.Less(t, mannWhitney(same, other), 0.001, "ties")
}

func TestWaysOfUAreAllOrders(t *testing.T) {
	all := 0.0
	for _, w := range countU(5, 4) {
		all += w
	}
	assert.InDelta(t, 126, all, 0, "9 over 4")
	assert.Equal(t, []float64{1, 1, 2, 1, 1}, countU(2, 2))
}
