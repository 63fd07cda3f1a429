package bench

import (
	"math"
	"slices"
)

// median of at least one value.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// mannWhitney is the two-sided p value of the hypothesis that a and b come
// from the same distribution: Mann, Whitney, "On a Test of Whether one of Two
// Random Variables is Stochastically Larger than the Other" (1947). It counts
// the possible orders of the ranks exactly where there are no ties and few
// values, and uses the normal approximation elsewhere.
func mannWhitney(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return 1
	}
	u, ties := uStatistic(a, b)
	u = min(u, float64(n*m)-u)
	if len(ties) == 0 && n*m <= 400 {
		ways := countU(n, m)
		below, all := 0.0, 0.0
		for i, w := range ways {
			if all += w; float64(i) <= u {
				below += w
			}
		}
		return min(1, 2*below/all)
	}
	total := float64(n + m)
	correction := 0.0
	for _, t := range ties {
		correction += t*t*t - t
	}
	variance := float64(n*m) / 12 * (total + 1 - correction/(total*(total-1)))
	if variance <= 0 {
		return 1 // all values are the same
	}
	z := (float64(n*m)/2 - u - 0.5) / math.Sqrt(variance)
	return min(1, math.Erfc(max(0, z)/math.Sqrt2))
}

// uStatistic counts the pairs in which a's value is the greater, equal ones
// half, and says how many values each group of equal ones has.
func uStatistic(a, b []float64) (u float64, ties []float64) {
	count := map[float64]float64{}
	for _, x := range a {
		count[x]++
		for _, y := range b {
			switch {
			case x > y:
				u++
			case x == y:
				u += 0.5
			}
		}
	}
	for _, y := range b {
		count[y]++
	}
	for _, n := range count {
		if n > 1 {
			ties = append(ties, n)
		}
	}
	return u, ties
}

// countU returns in how many orders of n and m values U takes each of its
// values 0 ... n*m. The greatest value is one of the n, and then exceeds all m,
// or one of the m.
func countU(n, m int) []float64 {
	table := make([][][]float64, n+1)
	for i := range table {
		table[i] = make([][]float64, m+1)
		for j := range table[i] {
			row := make([]float64, i*j+1)
			if i == 0 || j == 0 {
				row[0] = 1
				table[i][j] = row
				continue
			}
			for u, ways := range table[i-1][j] {
				row[u+j] += ways
			}
			for u, ways := range table[i][j-1] {
				row[u] += ways
			}
			table[i][j] = row
		}
	}
	return table[n][m]
}
