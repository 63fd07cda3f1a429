package http

import (
	"bytes"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"ottla/protocol"
)

// str returns the content of a JSON string, or the text of a parameter. It
// returns false for another JSON value, and for what is not valid UTF-8.
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

// integer parses an integer; in JSON 3.0 and 3e0 are integers, too. A magnitude
// beyond 64 bits saturates: it is out of every range, which the caller reports.
func (v value) integer() (int64, bool) {
	if v.isQ {
		n, _, ok := protocol.ParseInteger(v.text)
		return n, ok
	}
	n, _, ok := protocol.ParseWhole(v.json.Raw)
	return n, ok
}

// The setters of bindings. Each returns a function that checks a value of a
// certain kind and stores it in dst; it is given the name of the field for
// messages.

// setName takes the name of a cluster, a topic or a group.
func setName(dst *string) func(string, value) *protocol.Error {
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

// setText takes any text.
func setText(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		s, ok := v.str()
		if !ok {
			return v.wrong(field, "a string")
		}
		*dst = s
		return nil
	}
}

// setOptionalText takes any text; *dst stays nil when none is given.
func setOptionalText(dst **string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		*dst = new(string)
		return setText(*dst)(field, v)
	}
}

// setNames takes one name or an array of names, at most so many; 0: any number. In a
// query the parameter is repeated.
func setNames(dst *[]string, most int) func(string, value) *protocol.Error {
	add := func(field string, v value) *protocol.Error {
		var one string
		if err := setName(&one)(field, v); err != nil {
			return err
		}
		if most > 0 && len(*dst) == most {
			return protocol.Errorf(protocol.CodeLimitExceeded, "%s has more than %d names", field, most).With("field", field).With("limit", most)
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

// setBool takes true or false.
func setBool(dst *bool) func(string, value) *protocol.Error {
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

// setInteger takes an integer from lo to hi. For others check makes the error.
func setInteger[T ~int | ~int64](dst *T, lo, hi int64, check rangeError) func(string, value) *protocol.Error {
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

// setOptionalInteger is setInteger for a field that may be left out: *dst stays
// nil then. It takes the greatest 64-bit integer, which Kafka's users write for
// "for ever", and tells it from larger ones that saturate.
func setOptionalInteger[T ~int | ~int64](dst **T, lo, hi int64, check rangeError) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		*dst = new(T)
		if hi == math.MaxInt64 && string(v.json.Raw) == "9223372036854775807" {
			**dst = T(hi)
			return nil
		}
		return setInteger(*dst, lo, hi, check)(field, v)
	}
}

// setMilliseconds takes a duration from lo to hi, in milliseconds.
func setMilliseconds(dst *time.Duration, lo, hi time.Duration) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		var ms int64
		err := setInteger(&ms, lo.Milliseconds(), hi.Milliseconds(), limited)(field, v)
		*dst = time.Duration(ms) * time.Millisecond
		return err
	}
}

// setHours takes a number of hours above 0, or -1 for ever.
func setHours(dst **float64) func(string, value) *protocol.Error {
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

// rangeError makes the error for a value n that is not from lo to hi.
type rangeError func(field string, n, lo, hi int64) *protocol.Error

// permitted is the rangeError of settings: well-formed, but not allowed (422).
func permitted(field string, _, lo, hi int64) *protocol.Error {
	e := protocol.Errorf(protocol.CodeNotAllowed, "%s must be %d to %d", field, lo, hi)
	if hi == math.MaxInt64 {
		e.Message = field + " must be at least " + strconv.FormatInt(lo, 10) + ", within 64 bits"
		return e.With("field", field).With("min", lo)
	}
	return e.With("field", field).With("min", lo).With("max", hi)
}

// limited is the rangeError of what the configuration bounds (400, with the limit).
func limited(field string, n, lo, hi int64) *protocol.Error {
	if n < lo {
		return invalid(field, "must be at least %d", lo)
	}
	return protocol.Errorf(protocol.CodeLimitExceeded, "%s must be at most %d", field, hi).
		With("field", field).With("limit", hi)
}

// atLeast is the rangeError of numbers that mean nothing below lo (400).
func atLeast(field string, n, lo, hi int64) *protocol.Error {
	if n < lo {
		return invalid(field, "must be at least %d", lo)
	}
	return invalid(field, "must be at most %d", min(hi, math.MaxInt64-1)) // math.MaxInt64 may have saturated, and is refused
}

// setOneOf takes one of words.
func setOneOf(dst **string, words ...string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		var s string
		if err := setText(&s)(field, v); err != nil {
			return err
		}
		for _, w := range words {
			if s == w {
				*dst = &s
				return nil
			}
		}
		return protocol.Errorf(protocol.CodeNotAllowed, "%s must be one of %q", field, words).With("field", field)
	}
}
