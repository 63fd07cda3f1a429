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
