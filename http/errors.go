package http

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// fail makes e the answer. It is the only place where an error becomes a
// status and a body.
func (c *call) fail(e *protocol.Error) {
	resp := &c.ctx.Response
	status := e.Code.Status()
	c.code, c.failed = e.Code.Name, cmp.Or(e.Outcome, protocol.OutcomeNone)
	if status == fasthttp.StatusInternalServerError {
		c.srv.log.Error("request failed", "method", string(c.ctx.Method()), "path", string(c.ctx.Path()),
			"request_id", string(c.requestID()), "error", e.Error())
	}
	if needsRetryAfter(status) {
		resp.Header.Set("Retry-After", strconv.Itoa(retryAfterSeconds(e.RetryAfter)))
	}
	c.send(status, appendError(c.out(), e, c.requestID()))
}

// needsRetryAfter reports whether a status invites to try again later.
func needsRetryAfter(status int) bool {
	switch status {
	case fasthttp.StatusTooManyRequests, fasthttp.StatusServiceUnavailable, fasthttp.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfterSeconds rounds up to whole seconds, at least one.
func retryAfterSeconds(d time.Duration) int {
	return max(1, int((d+time.Second-1)/time.Second))
}

// appendError appends e in the one JSON shape that errors have.
func appendError(dst []byte, e *protocol.Error, requestID []byte) []byte {
	dst = append(dst, '{')
	dst = appendErrorFields(dst, e, requestID)
	return append(dst, '}')
}

// appendErrorFields appends what stands between the braces.
func appendErrorFields(dst []byte, e *protocol.Error, requestID []byte) []byte {
	outcome := e.Outcome
	if outcome == "" {
		outcome = protocol.OutcomeNone
	}
	dst = append(dst, `"error_code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code.Number), 10)
	dst = append(dst, `,"code":`...)
	dst = protocol.AppendJSONString(dst, e.Code.Name)
	dst = append(dst, `,"message":`...)
	dst = protocol.AppendJSONString(dst, e.Message)
	dst = append(dst, `,"retriable":`...)
	dst = strconv.AppendBool(dst, e.Code.Retriable)
	dst = append(dst, `,"outcome":`...)
	dst = protocol.AppendJSONString(dst, string(outcome))
	dst = append(dst, `,"request_id":`...)
	dst = protocol.AppendJSONString(dst, requestID)
	if len(e.Details) > 0 {
		if details, err := json.Marshal(e.Details); err == nil {
			dst = append(dst, `,"details":`...)
			dst = append(dst, details...)
		}
	}
	return dst
}

// syntaxError is the error for text that is not JSON.
func syntaxError(what string, err error) *protocol.Error {
	return protocol.Errorf(protocol.CodeMalformed, "%s is not valid JSON: %v", what, err)
}

// wrongType is the error for a value of another type than want.
func wrongType(name, want string) *protocol.Error {
	return protocol.Errorf(protocol.CodeMalformed, "%s must be %s", name, want).With("field", name)
}

// invalidName is the error for a value that is not the name of anything.
func invalidName(name, given string) *protocol.Error {
	return protocol.Errorf(protocol.CodeInvalidName,
		"%s %.220q is not a valid name: 1 to %d of letters, digits, '.', '_' and '-'", name, given, protocol.MaxNameLength).
		With("field", name)
}

// missing is the error for a required field that is not there.
func missing(name string) *protocol.Error {
	return protocol.Errorf(protocol.CodeMissingField, "%s is required", name).With("field", name)
}

// invalid is the error for a value that a field cannot have. The message begins
// with the name.
func invalid(name, format string, args ...any) *protocol.Error {
	e := protocol.Errorf(protocol.CodeInvalidParameter, format, args...)
	e.Message = name + " " + e.Message
	return e.With("field", name)
}
