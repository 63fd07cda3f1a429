package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"syscall"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"ottla/client"
	"ottla/protocol"
)

// formatter appends a record as `ottla consume` prints it.
type formatter func(dst []byte, m *client.Message) []byte

// newFormatter makes the formatter of the flags --keys, --values and --format.
// Without any a record is printed as the server sent it.
func newFormatter(keys, values bool, format string) (formatter, error) {
	switch {
	case format != "" && (keys || values):
		return nil, usageError{errors.New("--format excludes --keys and --values")}
	case format != "":
		return parseFormat(format)
	case keys && values:
		return parseFormat(`%k\t%v\n`)
	case keys:
		return parseFormat(`%k\n`)
	case values:
		return parseFormat(`%v\n`)
	}
	return func(dst []byte, m *client.Message) []byte { return append(append(dst, m.Raw()...), '\n') }, nil
}

// parseFormat makes a formatter of a text with the placeholders of kcat: %t topic,
// %p partition, %o offset, %k key, %v or %s value, %h headers, %T timestamp in
// milliseconds, %%; \n, \t and \\.
func parseFormat(format string) (formatter, error) {
	var parts []formatter
	literal := func(text string) {
		parts = append(parts, func(dst []byte, _ *client.Message) []byte { return append(dst, text...) })
	}
	for rest := format; rest != ""; {
		i := bytes.IndexAny([]byte(rest), `%\`)
		if i < 0 {
			literal(rest)
			break
		}
		if i+1 == len(rest) {
			return nil, usageError{fmt.Errorf("--format ends in the middle of %q", rest[i:])}
		}
		literal(rest[:i])
		directive := rest[i : i+2]
		rest = rest[i+2:]
		if text, ok := map[string]string{`\n`: "\n", `\t`: "\t", `\\`: `\`, "%%": "%"}[directive]; ok {
			literal(text)
			continue
		}
		part, ok := placeholders[directive]
		if !ok {
			return nil, usageError{fmt.Errorf("--format knows %%t %%p %%o %%k %%v %%h %%T %%%% \\n \\t \\\\, not %q", directive)}
		}
		parts = append(parts, part)
	}
	return func(dst []byte, m *client.Message) []byte {
		for _, part := range parts {
			dst = part(dst, m)
		}
		return dst
	}, nil
}

var placeholders = map[string]formatter{
	"%t": func(dst []byte, m *client.Message) []byte { return append(dst, m.Topic...) },
	"%p": func(dst []byte, m *client.Message) []byte { return strconv.AppendInt(dst, int64(m.Partition), 10) },
	"%o": func(dst []byte, m *client.Message) []byte { return strconv.AppendInt(dst, m.Offset, 10) },
	"%T": func(dst []byte, m *client.Message) []byte { return strconv.AppendInt(dst, m.Timestamp.UnixMilli(), 10) },
	"%k": func(dst []byte, m *client.Message) []byte { return appendContent(dst, &m.Key) },
	"%v": func(dst []byte, m *client.Message) []byte { return appendContent(dst, &m.Value) },
	"%s": func(dst []byte, m *client.Message) []byte { return appendContent(dst, &m.Value) },
	"%h": appendHeaders,
}

// appendContent appends a key or value as it was before `ottla produce` sent it: a
// JSON string without its quotes, other JSON as it is, and any other bytes.
func appendContent(dst []byte, d *client.Data) []byte {
	content := d.Bytes()
	switch d.Kind() {
	case client.Null:
		return append(dst, "null"...)
	case client.JSON:
		if len(content) > 1 && content[0] == '"' {
			dst, _ = protocol.AppendUnescaped(dst, content[1:len(content)-1])
			return dst
		}
	}
	return append(dst, content...)
}

// appendHeaders appends the headers of a record as the server sent them.
func appendHeaders(dst []byte, m *client.Message) []byte {
	if m.Headers == nil { // as most have none
		return append(dst, "{}"...)
	}
	r := protocol.NewJSONReader(m.Raw())
	for r.Object(); r.Field(); {
		name := string(r.Key)
		if v, ok := r.Value(); ok && name == "headers" {
			return append(dst, v.Raw...)
		}
	}
	return append(dst, "{}"...)
}

// appendVisible appends text for a terminal: what is not printable would move the
// cursor, change colours or reverse the line, and is escaped as in JSON. Line ends and
// tabs stay.
func appendVisible(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			dst = fmt.Appendf(dst, `\x%02x`, text[0])
		case r == '\n' || r == '\t' || unicode.IsGraphic(r):
			dst = append(dst, text[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
		text = text[size:]
	}
	return dst
}

// visibleWriter writes text to a terminal; see appendVisible.
type visibleWriter struct {
	w    io.Writer
	mu   sync.Mutex
	rest []byte // the beginning of a character whose end is yet to come
}

// Write implements io.Writer.
func (v *visibleWriter) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	text := append(v.rest, p...)
	whole := len(text)
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				whole -= n
			}
			break
		}
	}
	_, err := v.w.Write(appendVisible(nil, text[:whole]))
	v.rest = append([]byte(nil), text[whole:]...)
	return len(p), err
}

// printer prints records on standard output.
type printer struct {
	out    io.Writer
	format formatter
	text   []byte // what is to be written next
	failed error  // of a write; nothing is written after it

	progress *progress
	shows    bool // the progress: not where records go to the terminal themselves
	printed  int
}

// printAtOnce is how many bytes of a batch are written at a time, or a little more.
const printAtOnce = 64 << 10

func newPrinter(p *process, o *consumeOptions) *printer {
	_, terminal := p.stdout.(*visibleWriter)
	return &printer{out: p.stdout, format: o.print, progress: newProgress(p, "records", 0), shows: !terminal}
}

// print prints records.
func (w *printer) print(batch []client.Message) error {
	for i := range batch {
		if w.text = w.format(w.text, &batch[i]); len(w.text) >= printAtOnce {
			w.flush()
		}
	}
	if w.flush(); w.failed != nil {
		return fmt.Errorf("print: %w", w.failed)
	}
	w.printed += len(batch)
	if w.shows {
		w.progress.update(w.printed, 0)
	}
	return nil
}

// flush writes what was formatted.
func (w *printer) flush() {
	if len(w.text) > 0 && w.failed == nil {
		_, w.failed = w.out.Write(w.text)
	}
	w.text = w.text[:0]
}

// unlessClosed is err, but nil if the reader of our output has ended: it has enough.
func unlessClosed(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
