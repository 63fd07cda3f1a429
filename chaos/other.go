//go:build !linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const interceptedArg = "-run-intercepted"

var errNotLinux = errors.New("syncs can be made to fail on Linux only")

type interceptor struct{}

type syncRule func(path string) (errno syscall.Errno, wait time.Duration)

func (i *interceptor) set(syncRule) int { return 0 }

func (i *interceptor) changed() int { return 0 }

func (i *interceptor) command(string, ...string) (*exec.Cmd, func() error, error) {
	return nil, nil, errNotLinux
}

func runIntercepted([]string) error { return errNotLinux }

func canIntercept() error { return errNotLinux }

type volume struct{ mount string }

func newVolume(string, string) (*volume, error) {
	return nil, &missingError{"disk images are mounted on Linux only"}
}

func (v *volume) image() string { return "" }

func (v *volume) detach(bool) error { return nil }

func (v *volume) cut(*server) error { return errNotLinux }

func (v *volume) fill(int64) error { return errNotLinux }

func (v *volume) free() error { return errNotLinux }

func imageDir(*options) (string, error) { return os.MkdirTemp("", "ottla-chaos-") }
