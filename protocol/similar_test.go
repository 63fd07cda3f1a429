package protocol

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEditDistance(t *testing.T) {
	for pair, want := range map[string]int{
		"clicks clicks": 0, "clikcs clicks": 1, "click clicks": 1, "clicks click": 1, "cliks clicks": 1, "xlicks clicks": 1, "cl1ck5 clicks": 2,
		"orders clicks": 4, "a b": 1, "ab ba": 1, "abc cab": 2, "abcd badc": 2, "abcdef abc": 3, "abcdefg abc": 4, "kitten sitting": 3,
	} {
		a, b, _ := strings.Cut(pair, " ")
		assert.Equal(t, want, min(EditDistance(a, b, 3), 4), pair)
		assert.Equal(t, want, min(EditDistance(b, a, 3), 4), "%s, the other way round", pair)
		for limit := range 3 {
			assert.Equal(t, min(want, limit+1), min(EditDistance(a, b, limit), limit+1), "%s within %d", pair, limit)
		}
	}
}

// FuzzEditDistance compares the distance within a limit with a plain table.
func FuzzEditDistance(f *testing.F) {
	f.Add("clicks", "clikcs", uint8(3))
	f.Add("", "abc", uint8(2))
	f.Fuzz(func(t *testing.T, a, b string, limit uint8) {
		if len(a) > 40 || len(b) > 40 {
			return
		}
		l := int(limit % 6)
		want := plainDistance(a, b)
		if got := EditDistance(a, b, l); min(got, l+1) != min(want, l+1) {
			t.Fatalf("%q, %q within %d: got %d, want %d", a, b, l, got, want)
		}
	})
}

func plainDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			if i == 0 || j == 0 {
				d[i][j] = i + j
				continue
			}
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j-1]+cost, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
