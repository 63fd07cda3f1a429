package http

import (
	"bytes"
	"strconv"
)

// prefersHTML reports whether the Accept header names HTML, as browsers do when they
// open a page, and JSON not before it.
func (q *request) prefersHTML() bool {
	for item := range bytes.SplitSeq(q.ctx.Request.Header.Peek("Accept"), []byte(",")) {
		item, params, _ := bytes.Cut(item, []byte(";"))
		switch item = bytes.TrimSpace(item); {
		case quality(params) == 0: // not acceptable
		case bytes.EqualFold(item, []byte("text/html")), bytes.EqualFold(item, []byte("application/xhtml+xml")):
			return true
		case bytes.EqualFold(item, []byte("application/json")):
			return false
		}
	}
	return false
}

// streamKind is the form of an endless answer.
type streamKind int

const (
	noStream streamKind = iota
	eventStream
	ndjsonStream
)

// wantsStream reads the Accept header. If it names JSON as well, there is no
// stream.
func (q *request) wantsStream() streamKind {
	kind := noStream
	accept := q.ctx.Request.Header.Peek("Accept")
	for len(accept) > 0 {
		var item []byte
		item, accept, _ = bytes.Cut(accept, []byte(","))
		item, params, _ := bytes.Cut(item, []byte(";"))
		switch item = bytes.TrimSpace(item); {
		case quality(params) == 0: // not acceptable
		case bytes.EqualFold(item, []byte("application/json")):
			return noStream
		case kind != noStream:
		case bytes.EqualFold(item, []byte("text/event-stream")):
			kind = eventStream
		case isNDJSON(item):
			kind = ndjsonStream
		}
	}
	return kind
}

// chooseEncoding returns what an Accept-Encoding header prefers: "zstd" (also if
// it likes both equally), "gzip", or "" for neither.
func chooseEncoding(accept []byte) string {
	best, bestQ := "", 0.0
	for len(accept) > 0 {
		var item []byte
		item, accept, _ = bytes.Cut(accept, []byte(","))
		name, params, _ := bytes.Cut(item, []byte(";"))
		q := quality(params)
		switch name = bytes.TrimSpace(name); {
		case bytes.EqualFold(name, []byte("zstd")) && q > 0 && q >= bestQ:
			best, bestQ = "zstd", q
		case bytes.EqualFold(name, []byte("gzip")) && q > bestQ:
			best, bestQ = "gzip", q
		}
	}
	return best
}

// acceptsGzip reports whether an Accept-Encoding header names gzip.
func acceptsGzip(accept []byte) bool {
	for item := range bytes.SplitSeq(accept, []byte(",")) {
		name, params, _ := bytes.Cut(item, []byte(";"))
		if bytes.EqualFold(bytes.TrimSpace(name), []byte("gzip")) {
			return quality(params) > 0
		}
	}
	return false
}

// quality is the weight that an item of an Accept header has, from 0 to 1.
func quality(params []byte) float64 {
	name, weight, ok := bytes.Cut(bytes.TrimSpace(params), []byte("="))
	if !ok || !bytes.EqualFold(bytes.TrimSpace(name), []byte("q")) {
		return 1
	}
	q, err := strconv.ParseFloat(string(bytes.TrimSpace(weight)), 64)
	if err != nil {
		return 0
	}
	return q
}
