// Package intercept starts a process whose syncs this one decides over: they
// can be held, slowed down, or made to fail without being executed. It needs
// Linux, and no privilege.
package intercept

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// arg makes a program that calls Main install the filter and become another.
const arg = "-run-intercepted"

// Main is to be called first of all by a program that uses Interceptor.Command:
// it is started once more, to install the filter and then become the broker.
func Main() {
	if len(os.Args) > 2 && os.Args[1] == arg {
		fmt.Fprintln(os.Stderr, "intercept:", become(os.Args[2:]))
		os.Exit(1)
	}
}

// Rule says what becomes of a sync of a file: it waits, then it fails unless
// errno is 0.
type Rule func(path string) (errno syscall.Errno, wait time.Duration)
