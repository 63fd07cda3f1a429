//go:build !linux

package bench

import (
	"context"
	"time"
)

// run sends requests until ctx ends.
func (l *load) run(ctx context.Context) error { return l.runPortable(ctx) }

// nap sleeps with the precision of the runtime.
func nap(d time.Duration) { <-time.After(d) }

// run reads until ctx ends.
func (l *streams) run(ctx context.Context) error { return l.runPortable(ctx) }
