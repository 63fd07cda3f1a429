package queue

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/actors/level"
	"ottla/actors/level/leveltest"
)

// Whoever adds a record says from which level on it is written: none of a queue before its
// own.
func TestEveryRecordHasALevel(t *testing.T) {
	for _, action := range []string{actionSettings, actionPosition, actionEnds, actionPage, actionNode, actionDrop} {
		assert.GreaterOrEqual(t, level.Formats["offsets "+action], level.Queues.Level, action)
	}
}

// So does whoever adds a field: older programs refuse what they do not know.
func TestEveryFieldHasALevel(t *testing.T) {
	leveltest.Fields(t, "fields.txt", map[string]any{
		"queue": settingsValue{}, "position": positionValue{}, "ends": endsValue{}, "records": nodeValue{},
	})
}
