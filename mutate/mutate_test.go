//go:build !mutate

package mutate

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAnOrdinaryBuildHasNoBug(t *testing.T) {
	t.Setenv("OTTLA_MUTATE", string(AckBeforeSync))
	for _, b := range All() {
		assert.False(t, On(b), b)
	}
	buf := make([]byte, 3, 9)
	assert.Same(t, &buf[0], &Reused(buf)[0])
	assert.Zero(t, testing.AllocsPerRun(10, func() { Reused(buf) }))
}
