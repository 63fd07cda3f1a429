package cli

import (
	"fmt"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever whole units a duration is written in, it is their sum; one that is too long to
// be counted is refused, and never becomes another.
func TestDurationsAreTheSumOfTheirParts(t *testing.T) {
	units := []struct {
		name string
		unit time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}
	require.NoError(t, quick.Check(func(counts [6]uint16) bool {
		var text strings.Builder
		var want time.Duration
		over := false
		for i, n := range counts {
			n %= 9000
			fmt.Fprintf(&text, "%d%s", n, units[i].name)
			part := time.Duration(n) * units[i].unit
			over = over || want > maxDuration-part
			want += part
		}
		got, err := parseDuration(text.String())
		if over {
			return err != nil
		}
		return err == nil && got == want
	}, nil))
	for _, text := range []string{
		"15251w", "99999999w", "99999999w1h", "15000w15000w", "15250w9000h", "106752d", "1000000000000000000d", "9223372036855s",
		strings.Repeat("9", 400) + "d",
	} {
		d, err := parseDuration(text)
		require.Error(t, err, "%s: %s", text, d)
		var ms msFlag
		require.ErrorContains(t, ms.Set(text), "such as 90s")
		_, ok := parseTime("-"+text, noon)
		assert.False(t, ok, text)
	}
	for text, want := range map[string]time.Duration{"0d": 0, "0w0d": 0, "0s": 0, "0": 0, "0d1h": time.Hour, "15250w": 15250 * 7 * 24 * time.Hour} {
		got, err := parseDuration(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
}

// What is less than the unit that the API counts in is not taken for nothing at all.
func TestDurationsBelowAMillisecondAreRefused(t *testing.T) {
	for _, text := range []string{"1ns", "500us", "999999ns", "0.000000001d"} {
		ms := msFlag(7)
		require.ErrorContains(t, ms.Set(text), "less than a millisecond", text)
		assert.EqualValues(t, 7, ms, text)
	}
	var ms msFlag
	require.NoError(t, ms.Set("1500us"))
	assert.EqualValues(t, 1, ms)
	require.NoError(t, ms.Set("0s"))
	assert.Zero(t, ms)
}

// A refused value leaves the one before.
func TestRefusedFlagsStayAsTheyWere(t *testing.T) {
	ms, hours, size := msFlag(1), hoursFlag(2), sizeFlag(3)
	for _, text := range []string{"", " ", "x", "--1", "1,000", "0x10", "1e3x", "+-1", "1 d", "∞", "9999999999999999999999", "99999999999GiB", "8589934592GiB"} {
		assert.Error(t, ms.Set(text), text)
		assert.Error(t, size.Set(text), text)
		if text != "9999999999999999999999" { // as hours it is a number
			assert.Error(t, hours.Set(text), text)
		}
		assert.Equal(t, []string{"1", "3"}, []string{ms.String(), size.String()}, text)
		if text != "9999999999999999999999" {
			assert.Equal(t, "2", hours.String(), text)
		}
	}
	assert.Equal(t, []string{"duration", "duration", "size"}, []string{ms.Type(), hours.Type(), size.Type()})
}

// What a flag prints, as in its default, it takes.
func TestFlagsTakeWhatTheyPrint(t *testing.T) {
	require.NoError(t, quick.Check(func(n int64, h float64) bool {
		ms, size, hours := msFlag(n), sizeFlag(n), hoursFlag(h)
		var ms2 msFlag
		var size2 sizeFlag
		var hours2 hoursFlag
		return ms2.Set(ms.String()) == nil && ms2 == ms && size2.Set(size.String()) == nil && size2 == size &&
			hours2.Set(hours.String()) == nil && hours2 == hours
	}, nil))
}

// A time that is printed is read as the same, to the second, with and without a zone.
func TestPointsInTimeAreReadAsPrinted(t *testing.T) {
	require.NoError(t, quick.Check(func(seconds uint32) bool {
		want := time.Unix(int64(seconds), 0).In(noon.Location())
		for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05"} {
			got, ok := parseTime(want.Format(layout), noon)
			if !ok || !got.Equal(want) {
				return false
			}
		}
		from, err := startFrom(want.Format(time.RFC3339), noon)
		return err == nil && from == fmt.Sprint(want.UnixMilli())
	}, nil))
	for _, text := range []string{"", "noon", "-", "--1h", "-1", "2026-02-30", "2026-11-22T25:00:00Z", "2026-11-22T17:16:03+99:00", "tomorrow", " now"} {
		_, ok := parseTime(text, noon)
		assert.False(t, ok, text)
	}
}
