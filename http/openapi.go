package http

import (
	_ "embed" // for the document
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// openAPI is the contract of the API, in OpenAPI 3.1, with a placeholder such
// as ${max_records} for each limit that can be configured. The tests of this
// package check the table of routes, and every answer that they get, against it.
//
//go:embed openapi.json
var openAPI string

// contractFor returns the contract of a server with these limits and defaults. A
// placeholder that is a whole value becomes a number, others become text.
func contractFor(o Options) []byte {
	limits := map[string]int64{
		"body_bytes":         int64(o.MaxBodyBytes),
		"record_bytes":       int64(o.MaxRecordBytes),
		"topic_record_bytes": int64(min(o.MaxRecordBytes, protocol.MaxTopicRecordBytes)),
		"header_bytes":       int64(o.MaxHeaderBytes),
		"batch_records":      int64(o.MaxBatchRecords),
		"json_depth":         int64(o.MaxJSONDepth),
		"number_digits":      int64(o.MaxNumberDigits),
		"record_headers":     int64(o.MaxRecordHeaders),
		"header_name":        int64(o.MaxHeaderName),
		"max_records":        int64(o.MaxRecords),
		"default_records":    int64(o.DefaultMaxRecords),
		"max_bytes":          int64(o.MaxBytes),
		"default_bytes":      int64(o.DefaultMaxBytes),
		"max_timeout_ms":     milli(o.MaxTimeout),
		"default_timeout_ms": milli(o.DefaultPollTimeout),
		"max_session_ms":     milli(o.MaxSessionTimeout),
		"default_session_ms": milli(o.DefaultSessionTimeout),
		"request_timeout_ms": milli(o.RequestTimeout),
		"inflight_bytes":     o.MaxInflightBytes,
		"parked_polls":       int64(o.MaxParkedPolls),
	}
	pairs := codePlaceholders() // of the placeholder and its value; earlier ones go first
	for name, limit := range limits {
		pairs = append(pairs, `"${`+name+`}"`, strconv.FormatInt(limit, 10))
	}
	for name, limit := range limits {
		pairs = append(pairs, `${`+name+`}`, grouped(limit))
	}
	return []byte(strings.NewReplacer(pairs...).Replace(openAPI))
}

func milli(d time.Duration) int64 { return d.Milliseconds() }

// grouped writes a number with separators: 16,777,216.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// getOpenAPI answers with the contract.
func getOpenAPI(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	c.send(fasthttp.StatusOK, append(c.out(), c.srv.contract()...))
	return nil
}
