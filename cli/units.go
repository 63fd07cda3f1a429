package cli

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ottla/config"
)

// msFlag is the value of a flag for a duration that the API takes in
// milliseconds: a number of them, -1, or a duration such as 90s, 12h, 1d or 2w.
type msFlag int64

func (m *msFlag) String() string { return strconv.FormatInt(int64(*m), 10) }
func (m *msFlag) Type() string   { return "duration" }

func (m *msFlag) Set(text string) error {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		*m = msFlag(n)
		return nil
	}
	d, err := parseDuration(text)
	if err == nil && d > 0 && d < time.Millisecond {
		err = fmt.Errorf("%q is less than a millisecond", text)
	}
	if err == nil {
		*m = msFlag(d.Milliseconds())
	}
	return err
}

// hoursFlag is the value of a flag for a duration that the API takes in hours: a
// number of them, -1, or a duration such as 90m or 7d.
type hoursFlag float64

func (h *hoursFlag) String() string { return strconv.FormatFloat(float64(*h), 'f', -1, 64) }
func (h *hoursFlag) Type() string   { return "duration" }

func (h *hoursFlag) Set(text string) error {
	if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
		*h = hoursFlag(n)
		return nil
	}
	d, err := parseDuration(text)
	if err == nil {
		*h = hoursFlag(d.Hours())
	}
	return err
}

// sizeFlag is the value of a flag for a number of bytes: a plain one, -1, or a size
// such as 64KiB or 1GiB.
type sizeFlag int64

func (b *sizeFlag) String() string { return strconv.FormatInt(int64(*b), 10) }
func (b *sizeFlag) Type() string   { return "size" }

func (b *sizeFlag) Set(text string) error {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		*b = sizeFlag(n)
		return nil
	}
	n, err := config.ParseBytes(text)
	if err != nil {
		return fmt.Errorf("%q must be a number of bytes or a size such as 64KiB, 16MiB or 1GiB", text)
	}
	*b = sizeFlag(n)
	return nil
}

var daysOrWeeks = regexp.MustCompile(`^(\d+(?:\.\d+)?)(d|w)`)

// maxDuration is the longest duration that can be counted, about 292 years.
const maxDuration = time.Duration(math.MaxInt64)

// parseDuration is time.ParseDuration with days and weeks, which come first: 1d12h. Not
// negative.
func parseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("%q must be a duration such as 90s, 12h, 1d or 2w", text)
	rest, sum := text, time.Duration(0)
	for {
		m := daysOrWeeks.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		unit := 24 * time.Hour
		if m[2] == "w" {
			unit *= 7
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil || n*float64(unit) >= float64(maxDuration-sum) {
			return 0, wrong
		}
		sum += time.Duration(n * float64(unit))
		if rest = rest[len(m[0]):]; rest == "" {
			return sum, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > maxDuration-sum {
		return 0, wrong
	}
	return sum + d, nil
}

// pointsInTime describes what parseTime takes.
const pointsInTime = "a time (2026-11-22, '2026-11-22 17:16', 2026-11-22T17:16:03Z), now, today, yesterday, or as long ago as -1h or -2d"

// parseTime parses a point in time; without a zone it is in that of now.
func parseTime(text string, now time.Time) (time.Time, bool) {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch text {
	case "now":
		return now, true
	case "today":
		return today, true
	case "yesterday":
		return today.AddDate(0, 0, -1), true
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		d, err := parseDuration(ago)
		return now.Add(-d), err == nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, true
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", "2006-01-02T15:04", time.DateTime, "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
