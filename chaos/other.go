//go:build !linux

package main

import (
	"errors"
	"os"
)

var errNotLinux = errors.New("disk images are mounted on Linux only")

type volume struct{ mount string }

func newVolume(string, string) (*volume, error) {
	return nil, &missingError{errNotLinux.Error()}
}

func (v *volume) image() string { return "" }

func (v *volume) detach(bool) error { return nil }

func (v *volume) cut(*server) error { return errNotLinux }

func (v *volume) fill(int64) error { return errNotLinux }

func (v *volume) free() error { return errNotLinux }

func imageDir(*options) (string, error) { return os.MkdirTemp("", "ottla-chaos-") }
