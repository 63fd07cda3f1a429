package logfile

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A call may write less than all: the next one goes on behind that.
func TestPartsBehindWhatIsWritten(t *testing.T) {
	const all = "headbodyline"
	for n := range len(all) + 1 {
		parts := [][]byte{[]byte("head"), nil, []byte("body"), {}, []byte("line")}
		assert.Equal(t, all[n:], string(bytes.Join(partsBehind(parts, n), nil)), n)
	}
	assert.Empty(t, partsBehind([][]byte{[]byte("x"), nil}, 1))
}
