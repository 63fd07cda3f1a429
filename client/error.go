package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"ottla/protocol"
)

// ErrClosed is the error of a closed Producer or Consumer.
var ErrClosed = errors.New("client: closed")

// ErrFull is the error of TrySend while MaxInFlightBytes are used up.
var ErrFull = errors.New("client: the producer's memory is used up")

// ErrGarbled is wrapped by errors about successful answers that no Ottla server
// would write.
var ErrGarbled = errors.New("client: the answer is not what an Ottla server gives")

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
	Server     string         // who has answered, where that is not an Ottla server and says so
	Challenge  string         // what it asks for: its WWW-Authenticate or Proxy-Authenticate; empty: it does not say
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

// CodeHTTPStatus is the code of an [*Error] for an error that no Ottla server
// wrote, but a proxy or another server.
const CodeHTTPStatus = "http_status"

// Record is the index, from 0, of the record because of which the server refused a
// batch; false if the error names none. In Details the server numbers lines that
// it cannot parse from 1 and records that it cannot place from 0.
func (e *Error) Record() (index int, ok bool) {
	n, ok := e.Details["line"].(float64)
	if ok {
		n--
	} else if n, ok = e.Details["record"].(float64); !ok {
		return 0, false
	}
	if n != math.Trunc(n) || n < 0 || n > math.MaxInt32 {
		return 0, false
	}
	return int(n), true
}

// maxRetryAfter bounds Retry-After, in seconds: a day.
const maxRetryAfter = 24 * 60 * 60

// errorBody is the JSON of an error.
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

// decodeError makes an Error of an answer that is not successful, including one
// that a proxy wrote.
func decodeError(resp *http.Response, body []byte) *Error {
	var b errorBody
	if err := json.Unmarshal(body, &b); err != nil || b.Code == "" {
		b = errorBody{
			Number: resp.StatusCode * 100, Code: CodeHTTPStatus, Outcome: string(protocol.OutcomeUnknown),
			Message:   fmt.Sprintf("%s: %.200q", resp.Status, body),
			Retriable: resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusBadGateway,
		}
	}
	e := b.error(resp.StatusCode)
	if e.Code == CodeHTTPStatus {
		e.Server = resp.Header.Get("Server")
		e.Challenge = cmp.Or(resp.Header.Get("WWW-Authenticate"), resp.Header.Get("Proxy-Authenticate"))
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(min(s, maxRetryAfter)) * time.Second
	}
	return e
}

// Retriable reports whether the same request may succeed later, because the server
// says so or its answer did not arrive. It does not say that repeating the request
// is safe.
func Retriable(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Retriable
	}
	var broken *TransportError
	return errors.As(err, &broken)
}

// TransportError is a request whose answer did not arrive: the server cannot be
// reached, the connection broke, or what arrived was no answer to the request.
type TransportError struct{ Err error }

// Error implements error.
func (e *TransportError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *TransportError) Unwrap() error { return e.Err }
