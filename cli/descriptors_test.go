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
		{20_000, 20_000, 12_000},
		{20_000, 4096, 2060},
		{20_000, 1024, 512},
		{20_000, 2, 2},
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

func TestReplicasHaveDescriptorsAndMemory(t *testing.T) {
	for _, c := range []struct {
		nofile, memory uint64
		want           int
	}{
		{65_536, 0, 24_576},
		{65_536, 24 << 30, 24_576},
		{65_536, 1 << 30, 8192},
		{20_000, 24 << 30, 7500},
		{1024, 24 << 30, 384},
		{math.MaxUint64, 64 << 30, 524_288},
		{math.MaxUint64, 0, 10_000_000},
		{0, 0, 1},
	} {
		assert.Equal(t, c.want, replicaLimit(c.nofile, c.memory), "%+v", c)
		assert.LessOrEqual(t, uint64(connectionLimit(math.MaxInt32, c.nofile))+uint64(min(c.want, 1_000_000)), max(2, c.nofile))
	}
	log := slog.New(slog.DiscardHandler)
	assert.Equal(t, 5, boundedReplicas(5, log))
	assert.Positive(t, boundedReplicas(0, log))
	assert.Positive(t, availableMemory())
}
