package cli

import (
	"bytes"
	"log/slog"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConnectionsLeaveDescriptorsForLogFiles(t *testing.T) {
	for _, c := range []struct {
		configured int
		nofile     uint64
		want       int
	}{
		{20_000, 65_536, 20_000},
		{20_000, math.MaxUint64, 20_000},
		{20_000, 20_000, 17_500},
		{20_000, 4096, 3096},
		{20_000, 1024, 512},
		{20_000, 2, 1},
		{20_000, 0, 1},
		{100, 1024, 100},
	} {
		assert.Equal(t, c.want, connectionLimit(c.configured, c.nofile), "%+v", c)
	}
}

func TestFewerConnectionsAreToldOf(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	assert.Equal(t, 1, boundedConnections(1, log))
	assert.Empty(t, text.String())
	if boundedConnections(math.MaxInt, log) == math.MaxInt {
		t.Skip("this system has no limit of open files")
	}
	assert.Contains(t, text.String(), "limits.connections")
}
