package group

import "testing"

// ptr returns a pointer to v.
func ptr[T any](v T) *T { return &v }

// fewer is how often a history is repeated, which one goroutine makes: n times, and a tenth
// of them in short tests. Those run under the race detector, which costs most of their time
// and finds nothing there.
func fewer(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}
