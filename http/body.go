package http

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"ottla/http/budget"
	"ottla/http/conn"
	"ottla/protocol"
)

// intake is what all requests of a server share while they are read.
type intake struct {
	o      *Options
	bytes  *budget.Budget // of request bodies in memory
	ending func() bool    // whether the server shuts down
}

func (in *intake) bodyTooLarge() *protocol.Error {
	return protocol.Errorf(protocol.CodeBodyTooLarge, "the body exceeds %d bytes", in.o.MaxBodyBytes).
		With("limit", in.o.MaxBodyBytes)
}

func (in *intake) tooManyBytes() *protocol.Error {
	return protocol.Errorf(protocol.CodeTooManyRequests, "too many bytes of request bodies are in memory; send less at the same time").With("limit", in.bytes.Limit())
}

// readBody reads the request's body into c.body, as it was sent. Memory is taken from
// the byte budget before it is allocated, and grows only as bytes arrive.
func (q *request) readBody() *protocol.Error {
	source := q.ctx.RequestBodyStream()
	if source == nil {
		return nil
	}
	size := q.ctx.Request.Header.ContentLength() // negative: chunked
	if size == 0 {
		return nil
	}
	var err *protocol.Error
	if size > q.intake.o.MaxBodyBytes {
		err = q.intake.bodyTooLarge()
	} else {
		q.buf, err = q.readAll(q.buf[:0], source, size)
	}
	if err != nil {
		q.discard(source)
		return err
	}
	q.body, q.bytesIn = q.buf, len(q.buf)
	return nil
}

// endOf reads the end of a body of which as much has come as may come.
func (q *request) endOf(source io.Reader) *protocol.Error {
	var b [1]byte
	for {
		n, err := source.Read(b[:])
		switch {
		case n > 0:
			return q.intake.bodyTooLarge()
		case err == io.EOF:
			return nil
		case err != nil:
			return q.unreadable(err)
		}
	}
}

// What a body takes from the budget, in bytes.
const (
	firstBytes = 16 << 10 // at first, or what is announced if that is less
	chunkBytes = 4 << 10  // at first, when nothing is announced
	smallBytes = 16 << 10 // a body that is larger takes nothing of the reserve
)

// readAll reads source into dst, which is empty, up to its end: size bytes, or
// at most MaxBodyBytes if size is negative. What is announced is not taken from
// the budget before it comes: a few clients that send none of it would keep all
// others out.
func (q *request) readAll(dst []byte, source io.Reader, size int) ([]byte, *protocol.Error) {
	limit, taken := q.intake.o.MaxBodyBytes, 0
	for {
		if len(dst) == limit {
			return dst, q.endOf(source)
		}
		if len(dst) == taken {
			grown := min(max(2*taken, chunkBytes), limit)
			if size >= 0 {
				grown = min(max(2*taken, firstBytes), size)
			}
			if err := q.hold(grown-taken, grown); err != nil {
				return dst, err
			}
			if taken = grown; cap(dst) < taken {
				dst = append(make([]byte, 0, taken), dst...)
			}
		}
		n, err := source.Read(dst[len(dst):taken])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			if size >= 0 && len(dst) < size {
				err = io.ErrUnexpectedEOF
			} else {
				return dst, nil
			}
		}
		if err != nil {
			return dst, q.unreadable(err)
		}
		if len(dst) == size {
			return dst, nil
		}
	}
}

// discardShare is how many times MaxBodyBytes are read of a refused body, at
// most, so that the connection can be used again.
const discardShare = 4

// discard reads the rest of a refused body, or closes the connection after the
// answer if that is too much.
func (q *request) discard(source io.Reader) {
	if q.ctx.Response.ConnectionClose() {
		return // the body broke off
	}
	most := discardShare * q.intake.o.MaxBodyBytes
	if announced, ok := source.(conn.Body); ok && announced.AtLeast() > most {
		q.ctx.SetConnectionClose() // the client learns of it before it has sent everything
		return
	}
	if _, err := io.CopyN(io.Discard, source, int64(most)+1); !errors.Is(err, io.EOF) {
		q.ctx.SetConnectionClose()
	}
}

// unreadable is the error for a body that broke off. The connection cannot be
// used again.
func (q *request) unreadable(err error) *protocol.Error {
	q.ctx.SetConnectionClose()
	switch {
	case isTimeout(err) && q.intake.ending():
		return errEnding
	case isTimeout(err):
		return protocol.Errorf(protocol.CodeMalformed, "the body did not arrive within %s", q.intake.o.ReadTimeout)
	}
	return protocol.Errorf(protocol.CodeMalformed, "the body cannot be read: %v", err)
}

// hold takes n more bytes from the budget until the call is over, for something
// that has all bytes with them.
func (q *request) hold(n, all int) *protocol.Error {
	b := q.intake.bytes
	if all <= smallBytes && !b.Take(int64(n)) || all > smallBytes && !b.TakeOpen(q.held, int64(n)) {
		return q.intake.tooManyBytes()
	}
	q.held += int64(n)
	return nil
}

// The media types that bodies may have.
type mediaType int

const (
	mediaJSON mediaType = iota
	mediaNDJSON
	mediaRaw
	mediaUnsupported
)

// media returns the media type of the body. If none is given, or that of a
// form, which curl -d gives, a body that begins like JSON is taken for JSON.
func (q *request) media() mediaType {
	name, params, _ := bytes.Cut(q.ctx.Request.Header.ContentType(), []byte(";"))
	name = bytes.TrimSpace(name)
	if !utf8Charset(params) {
		return mediaUnsupported
	}
	switch {
	case bytes.EqualFold(name, []byte("application/json")):
		return mediaJSON
	case isNDJSON(name):
		return mediaNDJSON
	case bytes.EqualFold(name, []byte("application/octet-stream")), bytes.EqualFold(name, []byte("text/plain")):
		return mediaRaw
	case len(name) == 0, bytes.EqualFold(name, []byte("application/x-www-form-urlencoded")):
		r := protocol.NewJSONReader(q.body)
		if k := r.Kind(); k == '{' || k == '[' || len(q.body) == 0 {
			return mediaJSON
		}
	}
	return mediaUnsupported
}

// lineMedia are the names under which JSON in lines is sent. The first is the one
// that answers have.
var lineMedia = []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines"}

// isNDJSON reports whether name is a media type of JSON in lines.
func isNDJSON(name []byte) bool {
	for _, known := range lineMedia {
		if bytes.EqualFold(name, []byte(known)) {
			return true
		}
	}
	return false
}

// byteOrderMark is what some editors and libraries write before UTF-8 text. It is no
// part of the text.
const byteOrderMark = "\ufeff"

// dropByteOrderMark removes a byte order mark from the beginning of a body, unless
// the body is a value byte for byte.
func (q *request) dropByteOrderMark() {
	bytewise := q.media() == mediaRaw || q.route == webhookPath && !isJSONType(q.ctx.Request.Header.ContentType()) ||
		q.route == sourcePath // the signature is of what was sent
	if bytes.HasPrefix(q.body, []byte(byteOrderMark)) && !bytewise {
		q.body = q.body[len(byteOrderMark):]
	}
}

// utf8Charset reports whether a charset, if one is given, is UTF-8.
func utf8Charset(params []byte) bool {
	for len(params) > 0 {
		var p []byte
		p, params, _ = bytes.Cut(params, []byte(";"))
		name, charset, _ := bytes.Cut(bytes.TrimSpace(p), []byte("="))
		charset = bytes.Trim(bytes.TrimSpace(charset), `"`)
		if bytes.EqualFold(name, []byte("charset")) &&
			!bytes.EqualFold(charset, []byte("utf-8")) && !bytes.EqualFold(charset, []byte("utf8")) &&
			!bytes.EqualFold(charset, []byte("us-ascii")) {
			return false
		}
	}
	return true
}

// unsupportedMedia is the error for a body whose media type the route does not
// take. It names those that it does.
func (q *request) unsupportedMedia() *protocol.Error {
	taken := []string{"application/json"}
	if q.route == eventsPath {
		taken = append(append(taken, lineMedia...), "application/octet-stream", "text/plain")
	}
	given := "no content type is given, and the body does not begin like JSON, with { or ["
	if text := bytes.TrimSpace(q.ctx.Request.Header.ContentType()); len(text) > 0 {
		given = fmt.Sprintf("content type %.100q is not supported here", text)
	}
	return protocol.Errorf(protocol.CodeUnsupportedMediaType, "%s: use %s, in UTF-8", given, strings.Join(taken, ", ")).
		With("supported", taken)
}

// wantJSON refuses a body that is not JSON.
func (q *request) wantJSON() *protocol.Error {
	if len(q.body) > 0 && q.media() != mediaJSON {
		return q.unsupportedMedia()
	}
	return nil
}
