package queue

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/actors/level"
)

// Whoever adds a record says from which level on it is written: none of a queue before its
// own.
func TestEveryRecordHasALevel(t *testing.T) {
	for _, action := range []string{actionSettings, actionPosition, actionEnds, actionNode, actionDrop} {
		assert.GreaterOrEqual(t, level.Formats["offsets "+action], level.Queues.Level, action)
	}
}
