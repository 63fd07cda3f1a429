package bench

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// probeSync measures the disk below dir: the median of appending 4 KiB to a
// file and syncing it.
func probeSync(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "ottla-bench-sync-")
	if err != nil {
		return 0, fmt.Errorf("probe of the disk: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a temporary file
	defer f.Close()           //nolint:errcheck // its content is of no use
	const rounds = 200
	block := make([]byte, 4096)
	took := make([]time.Duration, rounds)
	for i := range took {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, fmt.Errorf("probe of the disk: %w", err)
		}
		if err := syncData(f); err != nil {
			return 0, fmt.Errorf("probe of the disk: %w", err)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[rounds/2], nil
}
