package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// monitor measures how late a timer of 20 ms comes: for so long the page could not
// have answered anybody.
const monitor = `
window.late = []; let last = performance.now();
setInterval(() => { const now = performance.now(); late.push(now - last - 20); last = now; }, 20); true`

// tailState reads what the live tail says of itself.
func (p *page) tailState() (seen, shown int, text string) {
	p.t.Helper()
	text = eval[string](p, "document.querySelector('.tail-state').innerText")
	m := regexp.MustCompile(`([\d,]+) seen, ([\d,]+) shown`).FindStringSubmatch(text)
	require.NotNil(p.t, m, text)
	seen, _ = strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	shown, _ = strconv.Atoi(strings.ReplaceAll(m[2], ",", ""))
	return seen, shown, text
}

// heap is the memory of the page's objects in bytes, without garbage.
func (p *page) heap() int64 {
	p.t.Helper()
	return int64(eval[float64](p, "(gc(), performance.memory.usedJSHeapSize)"))
}

// flood writes records at a rate until ctx ends, and counts them.
func (s *server) flood(ctx context.Context, topic string, perSecond int, written *atomic.Int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := int(time.Since(began).Seconds() * float64(perSecond))
		var records []object
		for ; i < due && len(records) < 1000; i++ {
			records = append(records, object{"key": fmt.Sprintf("k-%d", i%997), "value": object{"n": i, "country": []string{"DE", "FR"}[i%2], "text": strings.Repeat("x", 120)}})
		}
		if len(records) == 0 {
			continue
		}
		a, err := s.try(http.MethodPost, "/events", object{"topic": topic, "records": records})
		if err == nil && a.status == http.StatusOK {
			written.Add(int64(len(records)))
		}
	}
}

// The page keeps up with 5,000 records a second: it stays responsive, misses none,
// and its memory does not grow. OTTLA_CONSOLE_TAIL makes it longer; see make
// console-tail.
func TestConsoleTailsThousandsOfRecordsASecond(t *testing.T) {
	ctx := browser(t)
	length, patient := 6*time.Second, true
	if text := os.Getenv("OTTLA_CONSOLE_TAIL"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(t, err)
		patient = false // nothing else runs
	}
	s := start(t)
	s.topic("flood", 6)
	p := s.openConsole(ctx)
	p.visit("topic/default/flood/live", "flood")
	p.until("it is live", "document.querySelector('.tail-state')?.innerText.startsWith('live')")

	flooding, stop := context.WithCancel(context.Background())
	defer stop()
	var written atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.flood(flooding, "flood", 5000, &written)
	}()
	p.until("what is kept is full", "Number(/([\\d,]+) shown/.exec(document.querySelector('.tail-state').innerText)?.[1].replace(',', '')) >= 5000")
	before := p.heap()
	eval[bool](p, monitor)
	began, count := time.Now(), written.Load()
	<-time.After(length)
	rate := float64(written.Load()-count) / time.Since(began).Seconds()
	late := eval[[]float64](p, "late.sort((a, b) => a - b)")
	after := p.heap()
	stop()
	<-done
	p.until("all records were seen", fmt.Sprintf("Number(/([\\d,]+) seen/.exec(document.querySelector('.tail-state').innerText)[1].replaceAll(',', '')) === %d", written.Load()))
	_, shown, text := p.tailState()

	p99, most := late[len(late)*99/100], late[len(late)-1]
	t.Logf("%.0f records/s for %s; timers late: 99 %% below %.1f ms, at most %.1f ms; heap %.1f MB, then %.1f MB; %s",
		rate, length, p99, most, float64(before)/1e6, float64(after)/1e6, text)
	assert.NotContains(t, text, "skipped")
	assert.LessOrEqual(t, shown, 5000)
	assert.Less(t, eval[int](p, "document.querySelectorAll('.records .row').length"), 80)
	assert.Less(t, after-before, int64(8<<20), "the heap grew")
	if patient {
		assert.Greater(t, rate, 2000.0)
		assert.Less(t, p99, 500.0)
	} else {
		assert.Greater(t, rate, 4900.0)
		assert.Less(t, p99, 100.0)
		assert.Less(t, most, 300.0)
	}
}

// Pause, filters and a break of the connection: nothing is lost and nothing comes
// twice, and nothing of it is left on the server.
func TestConsoleTailPausesFiltersAndGoesOn(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s := start(t)
	s.topic("t", 3)
	p := s.openConsole(ctx)
	require.NoError(t, chromedp.Do(p.ctx, chromedp.EmulateViewport(1280, 1800))) // all rows are in sight
	p.visit("topic/default/t/live", "t")
	p.shows("Waiting for records")
	p.until("it is live", "document.querySelector('.tail-state')?.innerText.startsWith('live')")
	send := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			s.produce("t", object{"key": fmt.Sprint("k", i%5), "value": object{"n": i, "user": object{"country": []string{"DE", "FR"}[i%2]}}})
		}
	}
	seen := func(n int) {
		t.Helper()
		p.until(fmt.Sprintf("%d are seen", n), fmt.Sprintf("document.querySelector('.tail-state').innerText.includes(', %d seen')", n))
	}
	send(0, 10)
	seen(10)
	p.until("all are shown", "document.querySelectorAll('.records .row:not(.head)').length === 10")

	p.click("Pause")
	send(10, 20)
	p.shows("10 since the pause")
	assert.Equal(t, 10, eval[int](p, "document.querySelectorAll('.records .row:not(.head)').length"))
	p.click("Go on")
	p.until("all are shown", "document.querySelectorAll('.records .row:not(.head)').length === 20")

	p.fill("JSON path", "user.country = FR")
	p.until("half are shown", "document.querySelectorAll('.records .row:not(.head)').length === 10")
	send(20, 24)
	p.until("the new ones are filtered, too", "document.querySelectorAll('.records .row:not(.head)').length === 12")
	p.fill("JSON path", "")
	p.until("all are shown", "document.querySelectorAll('.records .row:not(.head)').length === 24")

	t.Log("the server restarts, on the same address")
	s.nothingBehind()
	s.stop()
	p.shows("connecting again")
	s.args = []string{"--listen", strings.TrimPrefix(s.base, "http://")}
	s.again()
	send(24, 30)
	seen(30)
	numbers := eval[[]string](p, `[...document.querySelectorAll('.records .row:not(.head)')].map(e => /"n":(\d+)/.exec(e.innerText)[1]).sort((a, b) => a - b)`)
	require.Len(t, numbers, 30)
	for i, n := range numbers {
		assert.Equal(t, strconv.Itoa(i), n)
	}

	p.fill("Key", "k3")
	p.fill("From", "earliest")
	p.until("one key from the beginning", "document.querySelectorAll('.records .row:not(.head)').length === 6")
	p.curlIs("curl -s '/topic/t/stream?cluster=default&from=earliest&key=k3'")
	s.delete("/topic/t").want(http.StatusNoContent)
	p.shows("does not exist")
	s.nothingBehind()
}
