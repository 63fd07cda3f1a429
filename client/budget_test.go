package client

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBudgetServesInTurnAndForgetsWhoGaveUp(t *testing.T) {
	b := newBudget(10)
	require.NoError(t, b.take(t.Context(), 8, nil))
	ctx, cancel := context.WithCancel(t.Context())
	large, small := make(chan error, 1), make(chan error, 1)
	go func() { large <- b.take(ctx, 9, func() {}) }()
	waitFor(t, b, 1)
	go func() { small <- b.take(t.Context(), 2, func() {}) }()
	waitFor(t, b, 2)
	cancel()
	require.ErrorIs(t, <-large, context.Canceled)
	require.NoError(t, <-small, "nobody is before it now")
	b.give(8)
	b.give(2)
	require.NoError(t, b.take(t.Context(), 1000, nil), "more than there is means all there is")
	b.give(1000)
	assert.Equal(t, int64(10), b.free)
}

func waitFor(t *testing.T, b *budget, waiting int) {
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.waiting) == waiting
	}, time.Minute, time.Millisecond)
}

func TestBatchLosesOneLine(t *testing.T) {
	for i, want := range []string{"b\ncc\n", "a\ncc\n", "a\nb\n"} {
		var b batch
		for _, text := range []string{"a\n", "b\n", "cc\n"} {
			b.add([]byte(text), nil, b.since)
		}
		b.cut(i)
		assert.Equal(t, want, string(b.body))
		assert.Equal(t, len(b.body), b.lines[1].end)
		assert.Len(t, b.lines, 2)
	}
}
