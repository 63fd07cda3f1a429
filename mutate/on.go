//go:build mutate

package mutate

import (
	"fmt"
	"os"
	"slices"
	"sync"
)

var on = func() Bug {
	b := Bug(os.Getenv("OTTLA_MUTATE"))
	if b != "" && !slices.Contains(All(), b) {
		panic(fmt.Sprintf("OTTLA_MUTATE: there is no bug %q, there are %q", b, All()))
	}
	return b
}()

// On reports whether a bug is built into the program.
func On(b Bug) bool { return on == b }

var shared struct {
	sync.Mutex
	array []byte
}

// Reused returns buf, or, with ReuseBuffer, a slice of the same length and capacity
// in an array that all callers share.
func Reused(buf []byte) []byte {
	if !On(ReuseBuffer) {
		return buf
	}
	shared.Lock()
	defer shared.Unlock()
	if cap(shared.array) < cap(buf) {
		shared.array = make([]byte, 2*cap(buf))
	}
	return shared.array[:len(buf):cap(buf)]
}
