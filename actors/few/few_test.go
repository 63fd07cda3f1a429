package few

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Map does what a map does, with few entries and with many.
func TestFewIsAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, keys := range []int{3, fewEntries, fewEntries + 1, 50} {
		var f Map[int, string]
		model := map[int]string{}
		for step := range 2000 {
			k := rnd.IntN(keys)
			switch rnd.IntN(5) {
			case 0, 1:
				v := string(rune('a' + rnd.IntN(26)))
				f.Set(k, v)
				model[k] = v
			case 2, 3:
				f.Remove(k)
				delete(model, k)
			case 4:
				if step%100 == 0 {
					f.Clear()
					clear(model)
				}
			}
			v, ok := f.Get(k)
			want, there := model[k]
			require.Equal(t, there, ok)
			require.Equal(t, want, v)
			require.Equal(t, want, f.At(k))
			require.Equal(t, len(model), f.Len())
			require.Equal(t, model, maps.Collect(f.All()))
		}
	}
}

// A loop that breaks gets no further entries.
func TestFewStopsWhenAsked(t *testing.T) {
	for _, n := range []int{2, fewEntries + 2} {
		var f Map[int, int]
		for i := range n {
			f.Set(i, i)
		}
		told := 0
		for range f.Keys() {
			told++
			break
		}
		require.Equal(t, 1, told)
	}
}
