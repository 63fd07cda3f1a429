package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as in Go: "10s", "1m30s",
// "100ms". A number without a unit is an error.
type Duration time.Duration

// D returns d as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String returns a text that ParseDuration parses to d.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalYAML renders d as its text.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// ParseDuration parses "10s", "1m30s" or "100ms".
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || s == "0" {
		return 0, fmt.Errorf("%q is not a duration such as 10s, 1m30s or 100ms", s)
	}
	return Duration(d), nil
}

// Bytes is a size in bytes, written as "16MiB", "32KiB", "1GiB" or a number.
type Bytes int64

// Units of Bytes.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
)

var byteUnits = []struct {
	suffix string
	size   Bytes
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}

// String returns a text that ParseBytes parses to b, in the largest unit that
// divides b.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b >= u.size && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalYAML renders b as its text.
func (b Bytes) MarshalYAML() (any, error) {
	if b < KiB || b%KiB != 0 {
		return int64(b), nil
	}
	return b.String(), nil
}

// ParseBytes parses "16MiB", "32KiB", "1GiB" or a number of bytes.
func ParseBytes(s string) (Bytes, error) {
	digits, size := s, Bytes(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, size = rest, u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if errors.Is(err, strconv.ErrRange) || (err == nil && (Bytes(n)*size)/size != Bytes(n)) {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a size such as 16MiB, 32KiB or 1000", s)
	}
	return Bytes(n) * size, nil
}
