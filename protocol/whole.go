package protocol

import "bytes"

// maxExponent bounds the exponents that are told apart, far beyond what any
// 64-bit integer can have.
const maxExponent = 1 << 32

// ParseWhole parses a JSON number whose value is an integer. It may have a
// fraction or an exponent: 3.0 and 3e0 are 3, as JSON Schema says. ok is false
// for other numbers and for text that does not begin like a number; text must
// otherwise be valid JSON. What does not fit saturates as in ParseInteger.
func ParseWhole(text []byte) (n int64, fits, ok bool) {
	if n, fits, ok = ParseInteger(text); ok {
		return n, fits, true
	}
	digits, negative := bytes.CutPrefix(text, []byte{'-'})
	if len(digits) == 0 || !isDigit(digits[0]) {
		return 0, false, false
	}
	exponent := int64(0)
	if i := bytes.IndexAny(digits, "eE"); i >= 0 {
		exponent = parseExponent(digits[i+1:])
		digits = digits[:i]
	}
	whole, fraction, _ := bytes.Cut(digits, []byte{'.'})
	all := append(bytes.Clone(whole), fraction...)
	point := int64(len(whole)) + exponent // where the decimal point stands in all
	all = bytes.TrimRight(all, "0")
	leading := len(all) - len(bytes.TrimLeft(all, "0"))
	switch {
	case leading == len(all):
		return 0, true, true
	case int64(len(all)) > point:
		return 0, false, false // digits are left behind the point
	}
	const enough = safeDigits + 2 // zeros, for a number that does not fit
	all = append(all, bytes.Repeat([]byte{'0'}, int(min(point-int64(len(all)), enough)))...)
	n, fits, ok = ParseInteger(all[leading:])
	if negative {
		n = -n
	}
	return n, fits, ok
}

// parseExponent parses what follows the e of a JSON number.
func parseExponent(text []byte) int64 {
	digits, negative := bytes.CutPrefix(text, []byte{'-'})
	digits = bytes.TrimLeft(bytes.TrimPrefix(digits, []byte{'+'}), "0")
	n, _, _ := ParseInteger(digits) // 0 for no digits
	if n = min(n, maxExponent); negative {
		n = -n
	}
	return n
}
