//go:build !unix

package datadir

import (
	"errors"
	"runtime"
)

// Lock refuses: without a lock two processes could write one log.
func lockDataDir(string) (release func(), err error) {
	return nil, errors.New("locking the data directory is not supported on " + runtime.GOOS)
}
