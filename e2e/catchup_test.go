package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A new node takes the place of a lost one, and gets what it lacks at the pace that is
// configured, while the task says how far it is.
func TestANewcomerIsFedAtThePace(t *testing.T) {
	t.Parallel()
	const (
		pace = 4 << 20
		size = 24 << 20
	)
	f := prepareNodes(t, 3)
	for _, s := range f.nodes {
		s.env = append(s.env, fmt.Sprintf("OTTLA_STORAGE_CATCH_UP_BYTES_PER_SECOND=%d", pace))
		s.launch()
	}
	f.waitReady()
	f.nodes[0].topic("big", 1)
	line := fmt.Sprintf(`{"value":"%s"}`+"\n", strings.Repeat("x", 1000))
	for range size >> 20 {
		f.nodes[0].call(http.MethodPost, "/events?topic=big", strings.Repeat(line, 1<<20/len(line)), "Content-Type", "application/x-ndjson").want(http.StatusOK)
	}
	f.nodes[2].kill()
	f.join("n4")
	f.nodes[0].eventually(waitTimeout, "the lost node is not heard of", func() error {
		var n struct{ State string }
		if f.nodes[0].get("/nodes/3").want(http.StatusOK).loosely(&n); n.State != "unreachable" {
			return fmt.Errorf("it is %s", n.State)
		}
		return nil
	})
	began := time.Now()
	replaced := f.begin(f.nodes[0], http.MethodPost, "/nodes/3/replace", object{"with": 4})
	f.nodes = append(f.nodes[:2:2], f.nodes[3])
	said := regexp.MustCompile(`about [0-9]+ MiB are left, [0-9.]+ MiB/s, some [0-9]+s`)
	f.nodes[0].eventually(waitTimeout, "the task says how far the copy is", func() error {
		var at struct {
			task
			CatchUp *struct {
				BytesLeft      int64 `json:"bytes_left"`
				BytesPerSecond int64 `json:"bytes_per_second"`
				SecondsLeft    int64 `json:"seconds_left"`
			} `json:"catch_up"`
		}
		f.nodes[1].get("/tasks/" + replaced.ID).want(http.StatusOK).loosely(&at)
		// Two replicas may be fed at once for a moment: the new one, and one that the loss
		// has left behind.
		if c := at.CatchUp; c == nil || c.SecondsLeft == 0 || c.BytesLeft >= size+size/4 || c.BytesPerSecond > 2*pace || !said.MatchString(at.WaitingFor) {
			return fmt.Errorf("%+v", at)
		}
		return nil
	})
	f.awaitTask(replaced.ID, "done")
	assert.Greater(t, time.Since(began), time.Duration(size/pace)*time.Second*3/4)
	read := 0
	for _, s := range f.nodes[:2] {
		m := regexp.MustCompile(`(?m)^ottla_catch_up_bytes_total (\S+)$`).FindSubmatch(s.get("/metrics").body)
		require.NotNil(t, m)
		n, err := strconv.ParseFloat(string(m[1]), 64)
		require.NoError(t, err)
		read += int(n)
	}
	assert.GreaterOrEqual(t, read, size)
}
