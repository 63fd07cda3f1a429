//go:build !linux

package intercept

import (
	"errors"
	"os/exec"
)

var errNotLinux = errors.New("seccomp is Linux's")

// Interceptor is of use on Linux only.
type Interceptor struct{}

// Set does nothing here.
func (i *Interceptor) Set(Rule) int { return 0 }

// Changed is 0 here.
func (i *Interceptor) Changed() int { return 0 }

// Hold does nothing here.
func (i *Interceptor) Hold() (release func()) { return func() {} }

// Command fails here.
func (i *Interceptor) Command(string, ...string) (*exec.Cmd, func() error, error) {
	return nil, nil, errNotLinux
}

// Available says that it is not.
func Available() error { return errNotLinux }

func become([]string) error { return errNotLinux }
