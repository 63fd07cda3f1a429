package disk

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestReserve(t *testing.T) {
	var free, total uint64
	r := &Reserve{space: func() (uint64, uint64) { return free, total }}
	for _, row := range []struct {
		free, total uint64
		full        bool
		reason      string
	}{
		{0, 0, false, ""}, // it cannot be told
		{2 << 20, 32 << 20, false, ""},
		{2<<20 - 1, 32 << 20, true, "the disk is full: 2047 KiB of 32 MiB are left"},
		{2 << 20, 32 << 20, false, ""},
		{64 << 20, 1 << 40, false, ""},
		{64<<20 - 1, 1 << 40, true, "the disk is full: 65535 KiB of 1048576 MiB are left"},
		{0, 1 << 40, true, "the disk is full: 65535 KiB of 1048576 MiB are left"},
		{1 << 30, 1 << 40, false, ""},
	} {
		free, total = row.free, row.total
		r.look()
		assert.Equal(t, row.full, r.Full(), "%d of %d", row.free, row.total)
		assert.Equal(t, row.reason, r.Reason())
	}
	assert.False(t, (*Reserve)(nil).Full())
}
