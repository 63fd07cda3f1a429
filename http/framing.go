package http

import (
	"bytes"
	"errors"
)

var errFraming = errors.New("ambiguous framing")

// checkFraming refuses headers that two readers of HTTP could cut into
// requests differently (RFC 9112, 5.1, 5.2, 6.1): a proxy before us that takes
// the other side would have us execute bytes of a body. fasthttp reads a body
// of "identity" as none, and chunks beside a length as chunks.
func checkFraming(lines []byte) error {
	length, coded := false, false
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte{'\n'})
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			if len(bytes.TrimSpace(line)) > 0 {
				return errFraming
			}
			continue
		}
		if bytes.IndexByte(name, ' ') >= 0 || bytes.IndexByte(name, '\t') >= 0 {
			return errFraming // a folded line is one, too
		}
		switch len(name) {
		case len("Content-Length"):
			length = length || bytes.EqualFold(name, []byte("Content-Length"))
		case len("Transfer-Encoding"):
			if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
				coded = true
				if !bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
					return errFraming
				}
			}
		}
	}
	if length && coded {
		return errFraming
	}
	return nil
}
