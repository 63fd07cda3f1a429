//go:build poison || race

package logfile

// poison overwrites a buffer that goes back to its pool: whoever kept a token
// of it sees that at once, and not another read's bytes once in a blue moon.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}
