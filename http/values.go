package http

import (
	"bytes"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"ottla/protocol"
)

// str is a JSON string's content, or a parameter's text; false when it is
// neither, or not a text.
func (v value) str() (string, bool) {
	if v.isQ {
		return string(v.text), utf8.Valid(v.text)
	}
	raw := v.json.Raw
	if raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	s, whole := protocol.AppendUnescaped(nil, raw[1:len(raw)-1])
	return string(s), whole
}

// integer parses an integer; in JSON 3.0 and 3e0 are some, too. A magnitude
// beyond 64 bits saturates: it is out of every range, which the caller reports.
func (v value) integer() (int64, bool) {
	if v.isQ {
		return parseInteger(v.text)
	}
	if n, ok := parseInteger(v.json.Raw); ok {
		return n, true
	}
	return parseWhole(v.json.Raw)
}

func parseInteger(text []byte) (int64, bool) {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return 0, false
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64 // and stays there
			continue
		}
		n = n*10 + d
	}
	if len(digits) != len(text) {
		n = -n
	}
	return n, true
}

// parseWhole parses a JSON number with a fraction or an exponent whose value is
// an integer; it saturates as parseInteger does.
func parseWhole(number []byte) (int64, bool) {
	digits, sign := number, []byte(nil)
	if len(digits) > 0 && digits[0] == '-' {
		sign, digits = digits[:1], digits[1:]
	}
	if len(digits) == 0 || digits[0] < '0' || digits[0] > '9' {
		return 0, false // not a number
	}
	exponent := int64(0)
	if i := bytes.IndexAny(digits, "eE"); i >= 0 {
		exponent, _ = parseInteger(bytes.TrimLeft(bytes.TrimPrefix(digits[i+1:], []byte("+")), "0"))
		if digits[i+1] == '-' {
			exponent, _ = parseInteger(bytes.TrimLeft(digits[i+2:], "0"))
			exponent = -exponent
		}
		digits = digits[:i]
	}
	whole, fraction, _ := bytes.Cut(digits, []byte("."))
	exponent = max(-1<<32, min(exponent, 1<<32))
	point := int64(len(whole)) + exponent // place of the point in all digits
	all := append(bytes.Clone(whole), fraction...)
	all = bytes.TrimRight(all, "0")
	leading := len(all) - len(bytes.TrimLeft(all, "0"))
	switch {
	case leading == len(all):
		return 0, true
	case int64(len(all)) > point:
		return 0, false
	}
	const most = 20 // digits that saturate
	all = append(all, bytes.Repeat([]byte("0"), int(min(point-int64(len(all)), most)))...)
	return parseInteger(append(bytes.Clone(sign), all[leading:]...))
}

// The kinds of fields. Each returns what stores a value in dst.

func name(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		s, ok := v.str()
		if !ok {
			return v.wrong(field, "a string")
		}
		if !protocol.ValidName(s) {
			return invalidName(field, s)
		}
		*dst = s
		return nil
	}
}

func text(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		s, ok := v.str()
		if !ok {
			return v.wrong(field, "a string")
		}
		*dst = s
		return nil
	}
}

func optionalText(dst **string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		*dst = new(string)
		return text(*dst)(field, v)
	}
}

// names takes one name or an array of them; in a query the parameter is
// repeated.
func names(dst *[]string) func(string, value) *protocol.Error {
	add := func(field string, v value) *protocol.Error {
		var one string
		if err := name(&one)(field, v); err != nil {
			return err
		}
		*dst = append(*dst, one)
		return nil
	}
	return func(field string, v value) *protocol.Error {
		if v.isQ || v.json.Raw[0] != '[' {
			if !v.isQ && v.json.Raw[0] != '"' {
				return v.wrong(field, "a string or an array of strings")
			}
			return add(field, v)
		}
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			item, _ := r.Value()
			if err := add(field, value{json: item}); err != nil {
				return err
			}
		}
		if len(*dst) == 0 {
			return invalid(field, "must not be empty")
		}
		return nil
	}
}

func boolean(dst *bool) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		literal := v.text
		if !v.isQ {
			literal = v.json.Raw
		}
		switch string(literal) {
		case "true":
			*dst = true
		case "false":
			*dst = false
		default:
			return v.wrong(field, "true or false")
		}
		return nil
	}
}

// integer takes an integer from lo to hi; outside of it check says what is
// wrong.
func integer[T ~int | ~int64](dst *T, lo, hi int64, check rangeError) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		n, ok := v.integer()
		if !ok {
			return v.wrong(field, "an integer")
		}
		if n < lo || n > hi || n == math.MaxInt64 {
			return check(field, n, lo, hi)
		}
		*dst = T(n)
		return nil
	}
}

// optionalInteger is integer for what may be left out. The greatest integer of
// all is not taken for one beyond it: that is how Kafka's users write "for ever".
func optionalInteger[T ~int | ~int64](dst **T, lo, hi int64, check rangeError) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		*dst = new(T)
		if hi == math.MaxInt64 && string(v.json.Raw) == "9223372036854775807" {
			**dst = T(hi)
			return nil
		}
		return integer(*dst, lo, hi, check)(field, v)
	}
}

// milliseconds takes a duration of lo to hi.
func milliseconds(dst *time.Duration, lo, hi time.Duration) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		var ms int64
		err := integer(&ms, lo.Milliseconds(), hi.Milliseconds(), limited)(field, v)
		*dst = time.Duration(ms) * time.Millisecond
		return err
	}
}

// hours takes a number of hours above 0, or -1.
func hours(dst **float64) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		raw := v.json.Raw
		h, err := strconv.ParseFloat(string(raw), 64)
		if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
			return v.wrong(field, "a number")
		}
		const centuries = 24 * 366 * 1000
		if err != nil || h != -1 && h <= 0 || h > centuries {
			return protocol.Errorf(protocol.CodeNotAllowed,
				"%s must be a number of hours above 0 and up to %d, or -1 for ever", field, centuries).With("field", field)
		}
		*dst = &h
		return nil
	}
}

// rangeError words what is wrong with n outside of lo to hi.
type rangeError func(field string, n, lo, hi int64) *protocol.Error

// permitted is for settings: well-formed, but not allowed (422).
func permitted(field string, _, lo, hi int64) *protocol.Error {
	e := protocol.Errorf(protocol.CodeNotAllowed, "%s must be %d to %d", field, lo, hi)
	if hi == math.MaxInt64 {
		e.Message = field + " must be at least " + strconv.FormatInt(lo, 10) + ", within 64 bits"
		return e.With("field", field).With("min", lo)
	}
	return e.With("field", field).With("min", lo).With("max", hi)
}

// limited is for what the configuration bounds (400 with the limit).
func limited(field string, n, lo, hi int64) *protocol.Error {
	if n < lo {
		return invalid(field, "must be at least %d", lo)
	}
	return protocol.Errorf(protocol.CodeLimitExceeded, "%s must be at most %d", field, hi).
		With("field", field).With("limit", hi)
}

// atLeast is for numbers without a meaning below lo (400).
func atLeast(field string, n, lo, hi int64) *protocol.Error {
	if n < lo {
		return invalid(field, "must be at least %d", lo)
	}
	return invalid(field, "must be at most %d", min(hi, math.MaxInt64-1)) // what saturates is refused
}
