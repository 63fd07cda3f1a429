package protocol

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseWhole(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "7": 7, "-7": -7, "9223372036854775807": math.MaxInt64, "99999999999999999999": math.MaxInt64,
		"7.0": 7, "-7.000": -7, "0.0": 0, "-0.0": 0, "0e5": 0, "0.000e-7": 0, "12.5e1": 125, "1e3": 1000, "1E+3": 1000, "1.50e01": 15,
		"1200e-2": 12, "0.07e2": 7, "1e18": 1e18, "1e19": math.MaxInt64, "1e99999999999999999999": math.MaxInt64, "-1e300": -math.MaxInt64,
	} {
		n, fits, ok := ParseWhole([]byte(text))
		assert.True(t, ok, text)
		assert.Equal(t, want, n, text)
		assert.Equal(t, want != math.MaxInt64 && want != -math.MaxInt64 || text == "9223372036854775807", fits, text)
	}
	for _, text := range []string{
		"0.5", "7.01", "1e-1", "12.5e0", "1e-99999999999999999999", "0.99999999999999999999999", "true", "null", `"7"`, "[7]", "{}",
		"9007199254740993.5",
	} {
		_, _, ok := ParseWhole([]byte(text))
		assert.False(t, ok, text)
	}
}
