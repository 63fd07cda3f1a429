//go:build linux || darwin

package disk

import "golang.org/x/sys/unix"

// Space returns what dir's filesystem has left for this process and in
// all, in bytes; 0 when that cannot be told.
func Space(dir string) (free, total uint64) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0
	}
	size := uint64(s.Bsize)
	return s.Bavail * size, s.Blocks * size
}
