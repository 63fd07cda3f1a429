package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sample() *Result {
	r := &Result{Options: DefaultOptions(), Environment: Environment{Version: "v1", CPU: "C & D", Filesystem: "tmpfs"}}
	for run, rate := range []float64{100, 300, 1200} {
		m := Measurement{Name: "produce-single", Run: run + 1, Connections: 64, Seconds: 2, RequestsPerSecond: rate, RecordsPerSecond: rate}
		m.Latency.P50 = 1000 / rate
		m.Requests, m.Errors, m.FirstError = 10, 1, "status 503: busy"
		m.Series = []Point{{Seconds: 1, Rate: rate, P50: 5, P99: 50, Max: 5000}, {Seconds: 2}}
		r.Measurements = append(r.Measurements, m)
	}
	r.Measurements = append(r.Measurements, Measurement{Name: "echo", Connections: 1, Seconds: 1, OpenRate: 1000, Overdue: 7})
	return r
}

func TestTableShowsMediansAndWhatWentWrong(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sample().WriteTable(&b))
	assert.Regexp(t, `produce-single +64 +closed +300 +300 `, b.String())
	assert.Contains(t, b.String(), "run 2: 1 errors, the first: status 503: busy")
	assert.Contains(t, b.String(), "7 requests were due")
	assert.Contains(t, b.String(), "open 1,000")
	assert.Contains(t, b.String(), "tmpfs: nothing is made durable")
}

func TestResultSurvivesJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sample().WriteJSON(&b))
	var back map[string]any
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	first := back["measurements"].([]any)[0].(map[string]any)
	assert.InDelta(t, 10, first["requests"], 0)
	assert.InDelta(t, 10, first["latency_us"].(map[string]any)["p50"], 0)
	assert.Len(t, first["series"], 2)
}

func TestPictureIsXMLWithACurveForEachFigure(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sample().WriteSVG(&b))
	assert.NotContains(t, b.String(), "NaN")
	assert.NotContains(t, b.String(), "Inf")
	lines := 0
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			lines++
		}
	}
	assert.Equal(t, 4*4, lines)
}

func TestPictureHasAGapWhereNothingWasAnswered(t *testing.T) {
	var b bytes.Buffer
	stalled := Measurement{Name: "x", Seconds: 4, Series: []Point{
		{Seconds: 1, Rate: 10, P50: 100, P99: 1000, Max: 1000},
		{Seconds: 2},
		{Seconds: 3},
		{Seconds: 4, Rate: 10, P50: 100, P99: 1000, Max: 1000},
	}}
	require.NoError(t, (&Result{Measurements: []Measurement{stalled}}).WriteSVG(&b))
	paths := regexp.MustCompile(` d="[^"]*"`).FindAllString(b.String(), -1)
	require.Len(t, paths, 4)
	assert.Equal(t, 1, strings.Count(paths[0], "M"), "the rate was 0")
	for _, latency := range paths[1:] {
		assert.Equal(t, 2, strings.Count(latency, "M"), "there was no latency: %s", latency)
		assert.Equal(t, 2, strings.Count(latency, "L"))
	}
}

func TestPictureCanBeRead(t *testing.T) {
	for v, want := range map[float64]float64{1: 1, 1.1: 2, 3: 5, 5.1: 10, 0.03: 0.05, 959: 1000} {
		assert.InDelta(t, want, niceStep(v), want/1e6, "%v", v)
	}
	var b bytes.Buffer
	require.NoError(t, sample().WriteSVG(&b))
	for _, text := range []string{">500<", ">1,500<", ">1 µs<", ">10 ms<", ">0 s<", ">2 s<", "closed loop, run 2", "open loop at 1,000/s"} {
		assert.Contains(t, b.String(), text)
	}
}

func TestComparisonTellsChanceFromChange(t *testing.T) {
	var base, head Result
	for i := range 5 {
		m := Measurement{Name: "x", RecordsPerSecond: 100 + float64(i), BrokerCores: 1}
		m.Latency.P50, m.Latency.P99 = 10+float64(i%3)/10, 20
		base.Measurements = append(base.Measurements, m)
		m.RecordsPerSecond *= 2
		head.Measurements = append(head.Measurements, m)
	}
	var b bytes.Buffer
	require.NoError(t, writeComparison(&b, &base, &head))
	assert.Regexp(t, `records/s +102 +204 +2\.000 +0\.008 \*`, b.String())
	assert.Regexp(t, `p50 +10µs +10µs +1\.000 +1\.000\s`, b.String())
	assert.Contains(t, b.String(), "5 runs each")
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	good := DefaultOptions()
	good.Workloads = Names()
	require.NoError(t, good.Validate())
	for name, spoil := range map[string]func(*Options){
		"workload":    func(o *Options) { o.Workloads = []string{"nope"} },
		"none":        func(o *Options) { o.Workloads = nil },
		"connections": func(o *Options) { o.Connections = []int{0} },
		"runs":        func(o *Options) { o.Runs = 0 },
		"rate":        func(o *Options) { o.Rate = -1 },
		"no rate":     func(o *Options) { o.Rate = math.NaN() },
		"endless":     func(o *Options) { o.Rate = math.Inf(1) },
		"too fast":    func(o *Options) { o.Rate = 1e12 },
		"crowd":       func(o *Options) { o.Connections = []int{1, math.MaxInt} },
		"payload":     func(o *Options) { o.Payload = 99_999_999 },
		"batch":       func(o *Options) { o.BatchSize = 10_001 },
		"record":      func(o *Options) { o.RecordBytes = math.MaxInt },
		"body":        func(o *Options) { o.BatchSize, o.RecordBytes = 10_000, 10_000 },
		"partitions":  func(o *Options) { o.Partitions = 1025 },
		"replicas":    func(o *Options) { o.Replicas = 10 },
		"duration":    func(o *Options) { o.Duration = time.Millisecond },
		"fsync":       func(o *Options) { o.Fsync = "never" },
		"compression": func(o *Options) { o.Compression = "lzma" },
	} {
		o := good
		spoil(&o)
		assert.Error(t, o.Validate(), name)
	}
	for server, want := range map[string]string{
		"http://127.0.0.1:8080": "127.0.0.1:8080", "http://localhost/": "localhost:80", "https://x": "", "http://x/path": "", "x": "", "http://\x00": "",
	} {
		got, err := address(server)
		assert.Equal(t, want, got)
		assert.Equal(t, want == "", err != nil, server)
	}
}

func TestRequestsHaveTheSizeAskedFor(t *testing.T) {
	o := DefaultOptions()
	s := &session{Options: &o, workload: find("produce-single"), targets: []string{"x:1"}}
	for i := range 1024 {
		require.Len(t, s.event("liked", i), 130)
		require.Len(t, s.value(i), 100)
		require.True(t, json.Valid(s.event("liked", i)))
		require.True(t, json.Valid(s.line(i)))
	}
	assert.Equal(t, 1024, variantsOf(1))
	assert.Equal(t, 64, variantsOf(1<<20))
	assert.Equal(t, 8, variantsOf(maxBody), "large ones must not fill the memory")
	assert.Equal(t, "0.5", ratePerSecond(0.5))
	assert.Equal(t, "20,000", ratePerSecond(20000))
	assert.Equal(t, "12,345,678", thousands(12345678))
	assert.Equal(t, "123", thousands(123))
	assert.Equal(t, "1.50ms", duration(1500))
}

// A measurement that is briefer than what it measures goes on until there is something to
// report; what is refused at once is reported at once.
func TestABriefMeasurementGoesOnUntilAnAnswer(t *testing.T) {
	o := DefaultOptions()
	o.Warmup, o.Duration = 0, time.Millisecond
	s := &session{Options: &o, workload: find("produce-single")}
	late, began := newRecorder("late"), make(chan struct{})
	job := func(ctx context.Context) error {
		close(began)
		for n := 0; n < 3; { // not before the duration has been over for two intervals
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(100 * time.Millisecond):
				n++
			}
		}
		late.done(300*time.Millisecond, 1, 10)
		<-ctx.Done()
		return nil
	}
	m, err := s.measure(t.Context(), []*recorder{late}, jobs{job})
	require.NoError(t, err)
	<-began
	assert.EqualValues(t, 1, m[0].Requests)
	assert.Greater(t, m[0].Seconds, 0.25)

	refused := newRecorder("refused")
	_, err = s.measure(t.Context(), []*recorder{refused}, jobs{func(ctx context.Context) error {
		for { // until the measurement has begun, which forgets what was before
			refused.failed("no")
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Millisecond):
			}
		}
	}})
	require.EqualError(t, err, "refused: no request succeeded: no")
}
