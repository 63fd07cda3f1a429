package http

import (
	"bytes"
	"strings"

	"ottla/protocol"
)

// webhookPath takes what senders of webhooks send: they know a URL, and nothing of
// records.
const webhookPath = "/topic/{topic}/events"

// postWebhook takes a body of any content type as one record.
func postWebhook(c *call) *protocol.Error {
	if topic := c.param("topic"); protocol.IsInternalTopic(topic) && protocol.ValidName(topic) {
		return internalTopic(topic)
	}
	return c.newProduce().answer()
}

// webhook says what of a request becomes its record.
type webhook struct {
	keyHeader, idHeader string // empty: none
	keyJSON             string // likewise; a JSON pointer
	keep                []string
}

// decodeWebhook takes the body as one value: as JSON if the content type says so,
// else byte for byte. The content type and the kept headers become headers of the
// record.
func (p *produce) decodeWebhook() *protocol.Error {
	var w webhook
	var err *protocol.Error
	if p.topic, err = p.nameParam("topic"); err != nil {
		return err
	}
	err = p.query(
		binding{name: "cluster", set: setName(&p.cluster)},
		binding{name: "key_header", set: setHeaderName(&w.keyHeader)},
		binding{name: "id_header", set: setHeaderName(&w.idHeader)},
		binding{name: "keep", many: true, set: w.setKeep})
	if err != nil {
		return err
	}
	return p.webhookRecord(&w)
}

// webhookRecord makes the request a record.
func (p *produce) webhookRecord(w *webhook) (err *protocol.Error) {
	rec := noRecord
	if err := p.webhookKey(&rec, w); err != nil {
		return err
	}
	if rec.headers, err = p.keptHeaders(w); err != nil {
		return err
	}
	rec.size += len(rec.headers)
	if err := p.webhookValue(&rec); err != nil {
		return err
	}
	p.records = append(p.records, rec)
	if w.idHeader == "" {
		return nil
	}
	id, given := p.header(w.idHeader)
	if !given {
		return protocol.Errorf(protocol.CodeNotAllowed, "id_header names %.40s, but the request has no such header", w.idHeader)
	}
	return p.idempotence.fromKey(p, w.idHeader, []byte(id))
}

// webhookKey takes the key from a header or from the body. A request without it has
// no key.
func (p *produce) webhookKey(rec *record, w *webhook) (err *protocol.Error) {
	if key, given := p.header(w.keyHeader); given {
		start := len(p.scratch)
		p.scratch = protocol.AppendJSONString(p.scratch, key)
		rec.key = p.scratch[start:len(p.scratch):len(p.scratch)]
		rec.size += len(rec.key)
	}
	if w.keyJSON != "" {
		if v, found := pointedTo(p.body, w.keyJSON); found {
			rec.key, err = p.jsonToken("the key", &v, &rec.size)
		}
	}
	return err
}

func (p *produce) webhookValue(rec *record) *protocol.Error {
	if !isJSONType(p.ctx.Request.Header.ContentType()) {
		rec.size += len(p.body)
		if rec.size <= p.srv.o.MaxRecordBytes {
			rec.value = p.rawToken(p.body)
		}
		return nil
	}
	r := protocol.NewJSONReader(bytes.TrimPrefix(p.body, []byte(byteOrderMark)))
	v, ok := r.Value()
	if err := r.End(); !ok || err != nil {
		return p.recordSyntaxError("the body", err)
	}
	var err *protocol.Error
	rec.value, err = p.jsonToken("value", &v, &rec.size)
	return err
}

// isJSONType reports whether a content type is that of JSON in UTF-8, as
// application/json and application/cloudevents+json are.
func isJSONType(contentType []byte) bool {
	name, params, _ := bytes.Cut(contentType, []byte(";"))
	name = bytes.ToLower(bytes.TrimSpace(name))
	return (string(name) == "application/json" || bytes.HasSuffix(name, []byte("+json"))) && utf8Charset(params)
}

// keptHeaders is the token of the record's headers. Their names are in lower case.
func (p *produce) keptHeaders(w *webhook) ([]byte, *protocol.Error) {
	start := len(p.scratch)
	seen := map[string]bool{}
	for _, name := range append([]string{"content-type"}, w.keep...) {
		text, given := p.header(name)
		if !given || seen[name] {
			continue
		}
		switch limit := p.srv.o; {
		case len(name) > limit.MaxHeaderName:
			return nil, recordLimit("header_name", limit.MaxHeaderName, "the header %.40q... has a name of %d bytes", name, len(name))
		case len(seen) == limit.MaxRecordHeaders:
			return nil, recordLimit("headers", limit.MaxRecordHeaders, "the record has %d headers or more", limit.MaxRecordHeaders+1)
		}
		separator := byte('{')
		if len(seen) > 0 {
			separator = ','
		}
		seen[name] = true
		p.scratch = protocol.AppendJSONString(append(p.scratch, separator), name)
		p.scratch = protocol.AppendJSONString(append(p.scratch, ':'), text)
	}
	if len(seen) == 0 {
		return nil, nil
	}
	p.scratch = append(p.scratch, '}')
	return p.scratch[start:len(p.scratch):len(p.scratch)], nil
}

func (w *webhook) setKeep(field string, v value) *protocol.Error {
	for _, name := range strings.Split(string(v.text), ",") {
		var one string
		if err := setHeaderName(&one)(field, value{text: []byte(strings.TrimSpace(name)), isQ: true}); err != nil {
			return err
		}
		w.keep = append(w.keep, one)
	}
	return nil
}

// setHeaderName takes the name of a header, in any case.
func setHeaderName(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		name, ok := v.str()
		if !ok && !v.isQ {
			return v.wrong(field, "a string")
		}
		for _, b := range []byte(name) {
			letter := b|0x20 >= 'a' && b|0x20 <= 'z'
			if !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(b)) && (b < '0' || b > '9') && !letter {
				return invalid(field, "must be the name of a header")
			}
		}
		name = strings.ToLower(name)
		if name == "" {
			return invalid(field, "must be the name of a header")
		}
		*dst = name
		return nil
	}
}
