package actors

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/actors/datadir"
	"ottla/actors/mending"
	"ottla/logfile"
)

// Other copies are given up only where they are what is missing.
func TestAdviceForAReplicaThatIsNotMended(t *testing.T) {
	gone := fmt.Errorf("entry 7: %w: broker 2 does not answer", mending.ErrNoCopy)
	assert.Contains(t, whyNotMended(gone), datadir.RepairCommand)
	assert.Contains(t, whyNotMended(fmt.Errorf("examine log: %w", &logfile.CorruptError{Err: gone})), datadir.RepairCommand)
	assert.NotContains(t, whyNotMended(fmt.Errorf("write part: %w", syscall.ENOSPC)), datadir.RepairCommand)
}
