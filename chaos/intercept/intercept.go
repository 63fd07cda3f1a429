package intercept

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// arg is the first argument of a program that Main turns into another one.
const arg = "-run-intercepted"

// Main must be called first in the main function of a program that uses
// Interceptor.Command. Command starts the program once more; Main then installs the
// filter and executes the broker in its place.
func Main() {
	if len(os.Args) > 2 && os.Args[1] == arg {
		fmt.Fprintln(os.Stderr, "intercept:", become(os.Args[2:]))
		os.Exit(1)
	}
}

// Rule decides about a sync of the file or directory path: it is delayed by wait,
// and then fails with errno, or is executed if that is 0.
type Rule func(path string) (errno syscall.Errno, wait time.Duration)
