package protocol

import (
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseInteger(t *testing.T) {
	zeros := strings.Repeat("0", 30)
	for text, want := range map[string]struct {
		n    int64
		fits bool
	}{
		"0": {0, true}, "-0": {0, true}, "7": {7, true}, "-42": {-42, true},
		"999999999999999999":   {999999999999999999, true},
		"1000000000000000000":  {1000000000000000000, true},
		"9223372036854775807":  {math.MaxInt64, true},
		"-9223372036854775807": {-math.MaxInt64, true},
		"9223372036854775808":  {math.MaxInt64, false},
		"-9223372036854775808": {-math.MaxInt64, false},
		"92233720368547758070": {math.MaxInt64, false},
		"1" + zeros:            {math.MaxInt64, false},
		"-1" + zeros:           {-math.MaxInt64, false},
	} {
		n, fits, ok := ParseInteger([]byte(text))
		assert.Equal(t, []any{want.n, want.fits, true}, []any{n, fits, ok}, text)
	}
	for _, text := range []string{"", "-", "+1", "01", "-01", "1.0", "1e3", " 1", "1 ", "1a", "--1", "0x1", "١", strings.Repeat("9", 30) + "x"} {
		_, _, ok := ParseInteger([]byte(text))
		assert.False(t, ok, text)
	}
	assert.Zero(t, testing.AllocsPerRun(10, func() { ParseInteger([]byte("9223372036854775808")) }))
}

func FuzzParseIntegerAgreesWithBig(f *testing.F) {
	for _, s := range []string{"0", "-12", "007", "9223372036854775807", "9223372036854775808", "1e3"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	f.Fuzz(func(t *testing.T, s string) {
		n, fits, ok := ParseInteger([]byte(s))
		if ok != form.MatchString(s) {
			t.Fatalf("ParseInteger(%q): ok is %v", s, ok)
		}
		if !ok {
			return
		}
		want, _ := new(big.Int).SetString(s, 10)
		if most := big.NewInt(math.MaxInt64); want.CmpAbs(most) > 0 {
			if fits || n != int64(want.Sign())*math.MaxInt64 {
				t.Fatalf("ParseInteger(%q) = %d, %v", s, n, fits)
			}
		} else if !fits || n != want.Int64() {
			t.Fatalf("ParseInteger(%q) = %d, %v", s, n, fits)
		}
	})
}
