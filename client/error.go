package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"ottla/protocol"
)

// ErrClosed is what a closed Producer or Consumer answers.
var ErrClosed = errors.New("client: closed")

// ErrFull is what TrySend answers while MaxInFlightBytes are used up.
var ErrFull = errors.New("client: the producer's memory is used up")

// Error is a failure that the server reported.
type Error struct {
	Status     int // of the HTTP response
	Number     int // error_code
	Code       string
	Message    string
	Retriable  bool
	Outcome    protocol.Outcome // whether anything happened
	RequestID  string
	Details    map[string]any // optional: limit, earliest, latest, ...
	RetryAfter time.Duration  // how long the server asks to wait; 0: it does not say
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("ottla: %d %s: %s", e.Status, e.Code, e.Message)
	if e.Outcome == protocol.OutcomeUnknown {
		text += " (it may or may not have happened)"
	}
	return text
}

// HasCode reports whether err is, or wraps, an [*Error] of that code.
func HasCode(err error, code protocol.Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Number == code.Number
}

// maxRetryAfter is more than anybody waits, in seconds: a day.
const maxRetryAfter = 24 * 60 * 60

// errorBody is the one JSON shape of errors.
type errorBody struct {
	Number    int            `json:"error_code"`
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Retriable bool           `json:"retriable"`
	Outcome   string         `json:"outcome"`
	RequestID string         `json:"request_id"`
	Details   map[string]any `json:"details"`
}

func (b *errorBody) error(status int) *Error {
	return &Error{
		Status: status, Number: b.Number, Code: b.Code, Message: b.Message, Retriable: b.Retriable,
		Outcome: protocol.Outcome(b.Outcome), RequestID: b.RequestID, Details: b.Details,
	}
}

// decodeError makes an Error of any answer that is not a success, also of one
// that a proxy in between wrote.
func decodeError(resp *http.Response, body []byte) *Error {
	var b errorBody
	if err := json.Unmarshal(body, &b); err != nil || b.Code == "" {
		b = errorBody{
			Number: resp.StatusCode * 100, Code: "http_status", Outcome: string(protocol.OutcomeUnknown),
			Message:   fmt.Sprintf("%s: %.200q", resp.Status, body),
			Retriable: resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusBadGateway,
		}
	}
	e := b.error(resp.StatusCode)
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(min(s, maxRetryAfter)) * time.Second
	}
	return e
}

// retriable reports whether the same request may succeed later: the server
// says so, or its answer did not arrive. Only requests that are safe to repeat
// may be repeated, of course.
func retriable(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Retriable
	}
	var broken *transportError
	return errors.As(err, &broken)
}

// transportError is a request whose answer did not arrive.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }
