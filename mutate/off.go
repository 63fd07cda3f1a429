//go:build !mutate

package mutate

// On reports whether the program has a bug built in.
func On(Bug) bool { return false }

// Reused returns buf, or, with ReuseBuffer, a slice of the same length and
// capacity of an array that all callers share.
func Reused(buf []byte) []byte { return buf }
