package protocol

import "math"

// safeDigits is how many decimal digits fit an int64 whatever they are.
const safeDigits = 18

// ParseInteger parses a decimal integer as JSON writes it: an optional minus
// and digits without leading zeros. ok is false when text is anything else.
// What does not fit an int64 saturates at plus or minus math.MaxInt64, and
// fits is false: such a number is outside of every range, which the caller can
// report better than a parser.
func ParseInteger(text []byte) (n int64, fits, ok bool) {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return 0, false, false
	}
	fits = true
	for i, c := range digits {
		if !isDigit(c) {
			return 0, false, false
		}
		d := int64(c - '0')
		switch {
		case i < safeDigits || fits && n <= (math.MaxInt64-d)/10:
			n = n*10 + d
		default:
			n, fits = math.MaxInt64, false
		}
	}
	if len(digits) != len(text) {
		n = -n
	}
	return n, fits, true
}
