//go:build !linux

package bench

import "context"

// run sends requests until ctx ends.
func (l *load) run(ctx context.Context) error { return l.runPortable(ctx) }
