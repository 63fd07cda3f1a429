package background

import (
	"time"

	"ottla/logfile"
)

// idleAfter is how long a log is not used before its file is closed, at least; at
// most it is twice that.
const idleAfter = 10 * time.Second

// CloseIdleLogs closes the files of logs that nobody uses, until stopped is closed.
func CloseIdleLogs(handles *logfile.HandleCache, stopped <-chan struct{}) {
	again := time.NewTicker(idleAfter)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			handles.CloseIdle()
		case <-stopped:
			return
		}
	}
}
