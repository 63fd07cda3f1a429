package datadir

import (
	"fmt"
	"os"
	"time"
)

// watchInterval is how often Watch looks.
const watchInterval = 2 * time.Second

// Watch calls moved once if the directory at that path stops being the one that was
// opened: somebody has renamed or removed it, or put another one in its place. What
// is written to open files goes on to the old one then, and what is created to neither.
// It returns when stop is closed.
func Watch(dir string, opened os.FileInfo, stop <-chan struct{}, moved func(error)) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now, err := os.Stat(dir)
		switch {
		case os.IsNotExist(err), err == nil && !os.SameFile(opened, now):
			moved(fmt.Errorf("the data directory is not at %s any more: it was renamed, removed or replaced while the broker ran; "+
				"put it back and start again", dir))
			return
		}
	}
}
