package link

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ottla/protocol"
)

// unreachable is the error of what was not handed to a socket.
func unreachable(format string, args ...any) error {
	return protocol.Errorf(protocol.CodeNodeUnreachable, format, args...)
}

// wireError is a protocol.Error on its way.
type wireError struct {
	Number     int              `json:"code"`
	Name       string           `json:"name"`
	Retriable  bool             `json:"retriable,omitempty"`
	Message    string           `json:"message"`
	Outcome    protocol.Outcome `json:"outcome,omitempty"`
	Details    map[string]any   `json:"details,omitempty"`
	RetryAfter time.Duration    `json:"retry_after,omitempty"`
}

// encodeError makes the body of a failure. Details that JSON does not know are
// left out.
func encodeError(err error) []byte {
	var e *protocol.Error
	if !errors.As(err, &e) {
		e = protocol.Errorf(protocol.CodeInternal, "%v", err).WithOutcome(protocol.OutcomeUnknown)
	}
	w := wireError{e.Code.Number, e.Code.Name, e.Code.Retriable, e.Message, e.Outcome, e.Details, e.RetryAfter}
	b, jsonErr := json.Marshal(w)
	if jsonErr == nil && len(b) <= maxFailure {
		return b
	}
	w.Details, w.Message = nil, w.Message[:min(len(w.Message), 1<<10)]
	b, jsonErr = json.Marshal(w)
	if jsonErr != nil {
		panic("BUG: an error without details is not JSON: " + jsonErr.Error())
	}
	return b
}

// decodeError is the reverse. Whole numbers in details become int64. An error that
// cannot be read is an unknown outcome.
func decodeError(b []byte) *protocol.Error {
	var w wireError
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&w); err != nil || w.Number < 10000 || w.Number > 59999 || w.Name == "" {
		return protocol.Unknownf("the other node answered with an error that this one cannot read")
	}
	code := protocol.Code{Number: w.Number, Name: w.Name, Retriable: w.Retriable}
	// A code that this version knows is its own value of it, so that comparisons hold; one
	// of a later version keeps what was said.
	for _, c := range protocol.Codes {
		if c.Number == w.Number {
			code = c
		}
	}
	for k, v := range w.Details {
		w.Details[k] = simple(v)
	}
	return &protocol.Error{Code: code, Message: w.Message, Outcome: w.Outcome, Details: w.Details, RetryAfter: w.RetryAfter}
}

// simple turns the numbers of a JSON value into int64 and float64.
func simple(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = simple(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = simple(v[k])
		}
	}
	return v
}

// lost is the error of a call whose connection ended.
func lost(handed bool, why error) error {
	if handed {
		return protocol.Unknownf("the connection to the other node was lost before it answered: %v", why)
	}
	return unreachable("the connection to the other node was lost before the request was sent: %v", why)
}

// late is the error of a call whose time is up.
func late(handed bool) error {
	if handed {
		return protocol.Unknownf("the other node did not answer in time")
	}
	return unreachable("the request could not be sent to the other node in time")
}

func overloaded(format string, args ...any) *protocol.Error {
	return protocol.Errorf(protocol.CodeOverloaded, "%s", fmt.Sprintf(format, args...))
}
