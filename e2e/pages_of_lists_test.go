package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// All lists come page by page too: every row once, and none twice.
func TestAllListsHavePages(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("one", 2)
	s.topic("two", 3)
	for i := range 4 {
		for _, topic := range []string{"one", "two"} {
			s.post("/events", fmt.Sprintf(`{"topic":"%s","key":%d,"value":1}`, topic, i), "Producer-Id", fmt.Sprintf("p%d", i), "Producer-Epoch", "0", "Producer-Seq", fmt.Sprint(i)).want(http.StatusOK)
		}
		s.get(fmt.Sprintf("/events?topic=one&topic=two&group=g%d&consumer_id=1&timeout_ms=0", i)).want(http.StatusOK)
		s.call(http.MethodPut, fmt.Sprintf("/sources/s%d", i), `{"topic":"one"}`)
		s.call(http.MethodPut, fmt.Sprintf("/subscriptions/s%d", i), `{"topics":["one"],"url":"https://example.com/","paused":true}`)
		s.post("/tokens", fmt.Sprintf(`{"name":"t%d","allow":[{"do":["read"]}]}`, i))
	}
	var document struct {
		Paths map[string]map[string]struct {
			Responses map[string]json.RawMessage
		}
	}
	require.NoError(t, json.Unmarshal(s.get("/openapi.json").body, &document))
	lists := 0
	for path, ops := range document.Paths {
		if !strings.Contains(string(ops["get"].Responses["200"]), "schemas/Next") {
			continue
		}
		lists++
		separator := "?"
		if path == "/offset" {
			path, separator = path+"?group=g1", "&"
		}
		whole := rowsOf(s.get(path).want(http.StatusOK).object())
		require.NotContains(t, s.get(path).object(), "next")
		for _, limit := range []int{1, 2, 3, 1000} {
			var got []string
			after := ""
			for page := 0; page < 100; page++ {
				answer := s.get(fmt.Sprintf("%s%slimit=%d%s", path, separator, limit, after)).want(http.StatusOK).object()
				rows := rowsOf(answer)
				assert.LessOrEqual(t, len(rows), limit, path)
				got = append(got, rows...)
				next, more := answer["next"].(string)
				if !more {
					break
				}
				after = "&after=" + url.QueryEscape(next)
			}
			assert.ElementsMatch(t, whole, got, "%s by %d", path, limit)
		}
	}
	assert.Equal(t, 15, lists)
}

// rowsOf are the rows of a list, whatever its name, as text, without what moves.
func rowsOf(answer map[string]any) (rows []string) {
	for name, list := range answer {
		if name == "next" {
			continue
		}
		for _, row := range list.([]any) {
			fields := row.(map[string]any)
			for _, moves := range []string{"members", "lapsed_members", "state", "partitions"} {
				delete(fields, moves)
			}
			text, _ := json.Marshal(fields)
			rows = append(rows, string(text))
		}
	}
	return rows
}
