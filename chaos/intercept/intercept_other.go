//go:build !linux

package intercept

import (
	"errors"
	"os/exec"
)

var errNotLinux = errors.New("syncs can be intercepted on Linux only")

// Interceptor does nothing on this platform.
type Interceptor struct{}

// Set does nothing on this platform.
func (i *Interceptor) Set(Rule) int { return 0 }

// Changed returns 0 on this platform.
func (i *Interceptor) Changed() int { return 0 }

// Hold does nothing on this platform.
func (i *Interceptor) Hold() (release func()) { return func() {} }

// Command fails on this platform.
func (i *Interceptor) Command(string, ...string) (*exec.Cmd, func() error, error) {
	return nil, nil, errNotLinux
}

// Available returns an error on this platform.
func Available() error { return errNotLinux }

func become([]string) error { return errNotLinux }
