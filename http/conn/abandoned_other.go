//go:build !linux

package conn

import "time"

// Abandoned cannot be told on this system.
func (c *Conn) Abandoned(time.Duration) bool { return false }
