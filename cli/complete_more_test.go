package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// completed is what a shell is offered after these words, the last of which is being typed.
func completed(t *testing.T, s *standIn, words ...string) []string {
	t.Helper()
	code, stdout, stderr := s.ottla(t, "", append([]string{"__complete"}, words...)...)
	require.Equal(t, exitOK, code, stderr)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	return lines[:len(lines)-1] // the last is the directive
}

// Names that the server lists are offered where one is expected, and nowhere else; a server
// that refuses, or says something else, offers nothing and breaks nothing.
func TestNamesOfTheServerAreOffered(t *testing.T) {
	lists := map[string]string{
		"/cluster": `{"clusters":[{"name":"c1"},{"name":"c2"}]}`, "/topic": `{"topics":[{"name":"orders"},{"name":"clicks"}]}`,
		"/groups": `{"groups":[{"group":"g1"}]}`, "/tokens": `{"tokens":[{"name":"team-a"}]}`,
		"/sources": `{"sources":[{"name":"github"}]}`, "/subscriptions": `{"subscriptions":[{"name":"hook"}]}`,
	}
	s := newStandIn(t, func(_ int, a asked) (int, string) {
		path, _, _ := strings.Cut(strings.TrimPrefix(a.line, http.MethodGet+" "), "?")
		if text, known := lists[path]; known {
			return 200, text
		}
		return 404, notFound
	})
	for args, want := range map[string][]string{
		"topic describe ":        {"orders", "clicks"},
		"topic delete ":          {"orders", "clicks"},
		"topic create ":          {},
		"topic describe orders ": {},
		"consume ":               {"orders", "clicks"},
		"consume orders ":        {"orders", "clicks"},
		"produce ":               {"orders", "clicks"},
		"cluster describe ":      {"c1", "c2"},
		"group describe ":        {"g1"},
		"token rotate ":          {"team-a"},
		"source delete ":         {"github"},
		"subscription describe ": {"hook"},
		"consume orders --from ": {"earliest", "latest"},
		"consume --group ":       {"g1"},
	} {
		assert.ElementsMatch(t, want, completed(t, s, strings.Split(args, " ")...), args)
	}
	for _, answer := range []struct {
		status int
		body   string
	}{{401, notFound}, {200, "<html>"}, {200, `{"topics":7}`}, {200, "{}"}, {500, ""}, {200, `{"topics":[{"name":7},{}]}`}} {
		bad := newStandIn(t, func(int, asked) (int, string) { return answer.status, answer.body })
		for _, name := range completed(t, bad, "topic", "describe", "") {
			assert.Empty(t, strings.TrimSpace(name), answer)
		}
	}
}

// A group's seek that is only tried asks nothing that changes it, and says for each kind of
// target where it would be.
func TestASeekThatIsOnlyTried(t *testing.T) {
	topic := `{"name":"t","cluster":"default","partitions":[{"partition_number":0,"earliest":3,"latest":9},{"partition_number":1,"earliest":0,"latest":0}]}`
	s := newStandIn(t, func(_ int, a asked) (int, string) {
		switch {
		case !strings.HasPrefix(a.line, http.MethodGet):
			return 500, ""
		case strings.Contains(a.line, "/partitions/0/records"):
			return 200, `{"topic":"t","partition":0,"records":[{"topic":"t","partition":0,"offset":5,"timestamp":1,"key":null,"value":1}],"next_offset":6,"high_watermark":9}`
		case strings.Contains(a.line, "/records"):
			return 200, `{"topic":"t","partition":1,"records":[],"next_offset":7,"high_watermark":7}`
		case strings.Contains(a.line, " /offset?"):
			return 200, `{"offsets":[]}`
		case strings.Contains(a.line, "/topic/t"):
			return 200, topic
		}
		return 404, notFound
	})
	for to, want := range map[string][]int64{"earliest": {3, 0}, "latest": {9, 0}, "4": {4, 4}, "2026-11-22T00:00:00Z": {5, 7}} {
		code, stdout, stderr := s.ottla(t, "", "group", "seek", "g", "--topic", "t", "--to", to, "--dry-run", "--output", "json")
		require.Equal(t, exitOK, code, "%s: %s", to, stderr)
		var said struct {
			Moved   bool
			Offsets []struct {
				Partition int
				Offset    int64
			}
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &said), stdout)
		assert.False(t, said.Moved)
		var got []int64
		for i, o := range said.Offsets {
			assert.Equal(t, i, o.Partition)
			got = append(got, o.Offset)
		}
		assert.Equal(t, want, got, to)
	}
	code, _, stderr := s.ottla(t, "", "group", "seek", "g", "--topic", "t", "--to", "latest", "--partition", "7", "--dry-run")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, `topic "t" has no partition 7`)
	topic = strings.Replace(topic, `"latest":9`, `"latest":null`, 1)
	code, _, stderr = s.ottla(t, "", "group", "seek", "g", "--topic", "t", "--to", "latest", "--dry-run")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, `partition 0 of topic "t" has no leader now`)
}
