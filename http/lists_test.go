package http

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pages reads a list page by page, and calls between before each but the first.
func (h *harness) pages(path, list, field string, limit int, between func(page int)) (values []any) {
	h.t.Helper()
	after := ""
	for page := 1; ; page++ {
		answer := wantOK(h.t, h.do("GET", fmt.Sprintf("%s?limit=%d&after=%s", path, limit, after), ""), 200)
		rows := answer[list].([]any)
		require.LessOrEqual(h.t, len(rows), limit)
		for _, row := range rows {
			values = append(values, row.(map[string]any)[field])
		}
		next, more := answer["next"]
		if !more {
			return values
		}
		after = next.(string)
		between(page)
	}
}

// A list that is read page by page has all rows once, in a fixed order, and those that
// come and go in between move no others.
func TestPagesOfAList(t *testing.T) {
	h := start(t, Options{})
	for i := range 9 {
		h.b.add(fmt.Sprintf("t%d", (i*5)%9), 1)
	}
	want := []any{"liked", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"}
	for _, path := range []string{"/topic", "/topics"} {
		for limit := 1; limit <= 10; limit++ {
			assert.Equal(t, want, h.pages(path, "topics", "name", limit, func(int) {}), "%s by %d", path, limit)
		}
	}
	assert.Len(t, wantOK(t, h.do("GET", "/topics", ""), 200)["topics"], 10, "all without a limit")
	got := h.pages("/topics", "topics", "name", 2, func(page int) {
		if page == 1 {
			h.b.add("a", 1) // before what was read
			h.b.add("t00", 1)
			h.b.add("t55", 1)
			h.b.mu.Lock()
			delete(h.b.topics, "t1")
			delete(h.b.topics, "t6")
			h.b.mu.Unlock()
		}
	})
	assert.Equal(t, []any{"liked", "t0", "t00", "t2", "t3", "t4", "t5", "t55", "t7", "t8"}, got)
}

func TestPagesThatAreNone(t *testing.T) {
	h := start(t, Options{})
	for _, q := range []string{"limit=0", "limit=-1", "limit=10001", "limit=x", "after=!", "after=YQ==", "limit=1&limit=2"} {
		assert.Equal(t, 400, h.do("GET", "/topics?"+q, "").status, q)
	}
	assert.Empty(t, wantOK(t, h.do("GET", "/topics?after=eg", ""), 200)["topics"])
}
