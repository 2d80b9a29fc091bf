package measure

import (
	"math"
	"slices"
)

// exactLimit is the number of samples up to which U's distribution is counted out rather than approximated.
const exactLimit = 20

// mannWhitney returns the two-sided p of the Mann-Whitney U test (Mann, Whitney, 1947): exact for small sets without
// ties, else by the normal approximation with corrections for ties and continuity. Both sets must have a sample.
func mannWhitney(x, y []float64) float64 {
	u, ties, tied := statistic(x, y)
	n, m := float64(len(x)), float64(len(y))
	if !tied && len(x) <= exactLimit && len(y) <= exactLimit {
		return exact(len(x), len(y), int(math.Min(u, n*m-u)))
	}
	mean := n * m / 2
	all := n + m
	variance := n * m / 12 * (all + 1 - ties/(all*(all-1)))
	if variance <= 0 { // all equal
		return 1
	}
	z := (math.Abs(u-mean) - 0.5) / math.Sqrt(variance)
	return math.Min(1, math.Erfc(z/math.Sqrt2))
}

// statistic returns U of x, and the sum of t³-t over groups of t equal values.
func statistic(x, y []float64) (u, ties float64, tied bool) {
	all := append(slices.Clone(x), y...)
	slices.Sort(all)
	rank := make(map[float64]float64)
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j] == all[i] {
			j++
		}
		t := float64(j - i)
		rank[all[i]] = float64(i+j+1) / 2
		ties += t*t*t - t
		tied = tied || j-i > 1
		i = j
	}
	var sum float64
	for _, v := range x {
		sum += rank[v]
	}
	n := float64(len(x))
	return sum - n*(n+1)/2, ties, tied
}

// exact is the two-sided probability that the smaller of U and its mirror is at most u.
func exact(n, m, u int) float64 {
	// ways[j][k] is the number of orders of i of x's and j of y's in which U is k, for the i reached so far.
	ways := make([][]float64, m+1)
	for j := range ways {
		ways[j] = make([]float64, n*m+1)
		ways[j][0] = 1
	}
	for i := 1; i <= n; i++ {
		next := make([][]float64, m+1)
		next[0] = make([]float64, n*m+1)
		next[0][0] = 1
		for j := 1; j <= m; j++ {
			next[j] = make([]float64, n*m+1)
			for k := range next[j] {
				next[j][k] = next[j-1][k] // the greatest is a y
				if k >= j {
					next[j][k] += ways[j][k-j] // the greatest is an x, above j y's
				}
			}
		}
		ways = next
	}
	var tail, total float64
	for k, w := range ways[m] {
		total += w
		if k <= u {
			tail += w
		}
	}
	return math.Min(1, 2*tail/total)
}
