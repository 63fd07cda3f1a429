package protocol

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// AppendTimestamp agrees with the standard library.
func TestAppendTimestamp(t *testing.T) {
	const last = 253402300799999 // 9999-12-31 23:59:59.999
	check := func(ms int64) {
		want := time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000")
		require.Equal(t, want, string(AppendTimestamp(nil, ms)), "%d ms", ms)
	}
	for _, ms := range []int64{0, 1, 999, 1000, 86399999, 86400000, 951782399999, 951782400000, last, -1, -86400000} {
		check(ms)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		check(rng.Int64N(last))
	}
}

// The text of the last day is shared by all goroutines. Goroutines with timestamps
// of different days must not get the wrong one.
func TestAppendTimestampOfDifferentDaysAtOnce(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	var wg sync.WaitGroup
	for i := range int64(8) {
		wg.Go(func() {
			want := time.UnixMilli(i * day).UTC().Format("2006-01-02 15:04:05.000")
			for range 5000 {
				if got := string(AppendTimestamp(nil, i*day)); got != want {
					t.Errorf("%s instead of %s", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestLinesGetTheirOffsetsLast(t *testing.T) {
	const at = 1795367763123 // 2026-11-22 17:16:03.123
	var l Lines
	assert.Zero(t, l.Len())
	l.Add(at, "liked", 2, []byte(`"user-42"`), []byte(`{"post":7}`), ActionProduce, nil)
	l.Add(at+1, "liked", 2, []byte(NullToken), []byte(`t"a b\n"`), ActionProduce, []byte(`{"trace":"x"}`))
	l.Add(at+2, "liked", 2, []byte(`"user-42"`), []byte(NullToken), ActionTombstone, nil)
	require.Equal(t, 3, l.Len())
	for _, base := range []Offset{0, 9, 99, 1 << 40} {
		want := fmt.Sprintf("2026-11-22 17:16:03.123 liked 2 %d \"user-42\" {\"post\":7} PRODUCE\n"+
			"2026-11-22 17:16:03.124 liked 2 %d - t\"a b\\n\" PRODUCE {\"trace\":\"x\"}\n"+
			"2026-11-22 17:16:03.125 liked 2 %d \"user-42\" - TOMBSTONE\n", base, base+1, base+2)
		assert.Equal(t, want, string(l.AppendNumbered(nil, base)))
		assert.Equal(t, "before "+want, string(l.AppendNumbered([]byte("before "), base)))
	}
	assert.Empty(t, (&Lines{}).AppendNumbered(nil, 5))
}

// A record is exactly one line of the log, whatever a client sends.
func TestNaughtyRecordsStayOnTheirLines(t *testing.T) {
	var l Lines
	for _, content := range naughty {
		token := AppendRawToken(nil, []byte(content))
		l.Add(0, "t", 0, token, token, ActionProduce, nil)
	}
	lines := bytes.SplitAfter(l.AppendNumbered(nil, 0), []byte("\n"))
	require.Len(t, lines, len(naughty)+1)
	for i, line := range lines[:len(naughty)] {
		head := fmt.Sprintf("1970-01-01 00:00:00.000 t 0 %d ", i)
		require.True(t, strings.HasPrefix(string(line), head), "%q", line)
		require.True(t, strings.HasSuffix(string(line), " "+ActionProduce+"\n"), "%q", line)
	}
}
