package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// noon is the time of these tests, in a zone of its own.
var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.FixedZone("X", 3600))

func TestStartFrom(t *testing.T) {
	for text, want := range map[string]string{
		"earliest": "earliest", "latest": "latest", "0": "0", "1795305600000": "1795305600000",
		"1970-01-01T00:00:01Z": "1000", "2026-11-22T01:00:00+01:00": "1795305600000", "2026-11-22T00:00:00.123456Z": "1795305600123",
		"2026-11-22": "1795302000000", "-1h": "1795860000000", "now": "1795863600000",
	} {
		got, err := startFrom(text, noon)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "-1", "soon", "Earliest", "2026-13-22", "1.5", "99999999999999999999", "--1h"} {
		_, err := startFrom(text, noon)
		var usage usageError
		assert.ErrorAs(t, err, &usage, text)
	}
}

func TestSeekTarget(t *testing.T) {
	for text, want := range map[string]any{
		"earliest": "earliest", "latest": "latest", "0": int64(0), "42": int64(42),
		"1970-01-01T00:00:01Z": map[string]int64{"timestamp": 1000},
		"yesterday":            map[string]int64{"timestamp": noon.Add(-36 * time.Hour).UnixMilli()},
	} {
		got, err := seekTarget(text, noon)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "-1", "end", "1e3"} {
		_, err := seekTarget(text, noon)
		var usage usageError
		assert.ErrorAs(t, err, &usage, text)
	}
}

func TestPointsInTime(t *testing.T) {
	for text, want := range map[string]string{
		"now": "2026-11-28T12:00:00+01:00", "today": "2026-11-28T00:00:00+01:00", "yesterday": "2026-11-27T00:00:00+01:00",
		"-1h": "2026-11-28T11:00:00+01:00", "-2d": "2026-11-26T12:00:00+01:00", "-1w": "2026-11-21T12:00:00+01:00", "-1d12h": "2026-11-27T00:00:00+01:00",
		"2026-11-22": "2026-11-22T00:00:00+01:00", "2026-11-22 17:16": "2026-11-22T17:16:00+01:00", "2026-11-22T17:16:03": "2026-11-22T17:16:03+01:00",
		"2026-11-22T17:16:03Z": "2026-11-22T17:16:03Z",
	} {
		got, ok := parseTime(text, noon)
		require.True(t, ok, text)
		assert.Equal(t, want, got.Format(time.RFC3339), text)
	}
}

func TestDurationsAndSizes(t *testing.T) {
	var ms msFlag
	for text, want := range map[string]int64{"-1": -1, "0": 0, "86400000": 86400000, "1d": 86400000, "2w": 1209600000, "1d12h": 129600000, "90s": 90000, "1.5d": 129600000, "250ms": 250} {
		require.NoError(t, ms.Set(text), text)
		assert.EqualValues(t, want, ms, text)
	}
	for _, text := range []string{"", "d", "1x", "-1d", "1h1d", "one"} {
		assert.ErrorContains(t, ms.Set(text), "such as 90s", text)
	}
	var hours hoursFlag
	for text, want := range map[string]string{"-1": "-1", "168": "168", "0.5": "0.5", "7d": "168", "90m": "1.5"} {
		require.NoError(t, hours.Set(text), text)
		assert.Equal(t, want, hours.String(), text)
	}
	for _, text := range []string{"", "NaN", "Inf", "week"} {
		assert.Error(t, hours.Set(text), text)
	}
	var size sizeFlag
	for text, want := range map[string]int64{"-1": -1, "65536": 65536, "64KiB": 65536, "16MiB": 16 << 20, "1GiB": 1 << 30} {
		require.NoError(t, size.Set(text), text)
		assert.EqualValues(t, want, size, text)
	}
	assert.ErrorContains(t, size.Set("much"), "such as 64KiB")
}
