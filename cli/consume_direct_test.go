package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writerFunc is an io.Writer.
type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

// onePartition answers as a server with so many records in partition 0 of t, of which it
// gives each at a time, or fewer where that is asked for. It says which it was asked for.
func onePartition(t *testing.T, n, each int, asks chan<- string) func(int, asked) (int, string) {
	return func(_ int, a asked) (int, string) {
		u, err := url.Parse(strings.TrimPrefix(a.line, "GET "))
		assert.NoError(t, err)
		if u.Path == "/topic/t" {
			return 200, fmt.Sprintf(`{"name":"t","partitions":[{"partition_number":0,"earliest":0,"latest":%d}]}`, n)
		}
		assert.Equal(t, "/topic/t/partitions/0/records", u.Path)
		from, err := strconv.Atoi(u.Query().Get("offset"))
		assert.NoError(t, err)
		most, err := strconv.Atoi(u.Query().Get("max_records"))
		assert.NoError(t, err)
		asks <- fmt.Sprintf("%d+%d", from, most)
		to := min(n, from+min(most, each))
		return 200, fmt.Sprintf(`{"records":[%s],"next_offset":%d,"high_watermark":%d,"earliest":0}`, records(from, to), to, n)
	}
}

// While records are printed, the next ones are on their way.
func TestConsumeByOffsetAsksAhead(t *testing.T) {
	asks := make(chan string, 10)
	s := newStandIn(t, onePartition(t, 6, 2, asks))
	var printed strings.Builder
	var ahead []string
	s.stdout = writerFunc(func(p []byte) (int, error) {
		for len(ahead) < 1+strings.Count(printed.String(), "\n")/2+1 {
			select {
			case a := <-asks:
				ahead = append(ahead, a)
			case <-time.After(30 * time.Second):
				return 0, fmt.Errorf("not asked before %s was printed", p)
			}
		}
		return printed.Write(p)
	})
	code, _, stderr := s.ottla(t, "", "consume", "t", "--partition", "0")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, strings.ReplaceAll(records(0, 6), "},{", "}\n{")+"\n", printed.String())
	assert.Equal(t, []string{"0+2000", "2+2000", "4+2000", "6+2000"}, ahead)
}

// Asked is for as many records as may be printed, and for none after the last.
func TestConsumeByOffsetAsksForNoMoreThanItMayPrint(t *testing.T) {
	for most, want := range map[string][]string{"5": {"0+5", "2+3", "4+1"}, "2": {"0+2"}, "7": {"0+7", "2+5", "4+3", "6+1"}} {
		asks := make(chan string, 10)
		s := newStandIn(t, onePartition(t, 6, 2, asks))
		code, stdout, stderr := s.ottla(t, "", "consume", "t", "--offset", "0", "--max-records", most)
		require.Equal(t, exitOK, code, stderr)
		close(asks)
		var got []string
		for a := range asks {
			got = append(got, a)
		}
		assert.Equal(t, want, got)
		limit, _ := strconv.Atoi(most)
		assert.Equal(t, min(limit, 6), strings.Count(stdout, "\n"))
	}
}

// A fetch that fails ends the command after the records before it were printed.
func TestConsumeByOffsetPrintsWhatCameBeforeAnError(t *testing.T) {
	asks := make(chan string, 10)
	s := newStandIn(t, nil)
	answer := onePartition(t, 6, 2, asks)
	s.answer = func(n int, a asked) (int, string) {
		if strings.Contains(a.line, "offset=4") {
			return 503, errorAnswer("storage_failed", "broken", "none", true)
		}
		return answer(n, a)
	}
	code, stdout, stderr := s.ottla(t, "", "consume", "t", "--partition", "0")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, 4, strings.Count(stdout, "\n"))
	assert.Contains(t, stderr, "broken")
}
