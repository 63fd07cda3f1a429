//go:build !mutate

package mutate

// On reports whether a bug is built into the program.
func On(Bug) bool { return false }

// Reused returns buf, or, with ReuseBuffer, a slice of the same length and capacity
// in an array that all callers share.
func Reused(buf []byte) []byte { return buf }
