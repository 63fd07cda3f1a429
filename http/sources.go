package http

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// sourcePath is a source of webhooks: its settings, and by POST what its sender sends.
const sourcePath = "/sources/{source}"

// Bounds on the settings of a source.
const (
	maxKept         = 32  // headers that it keeps
	maxKeptName     = 128 // bytes of the name of a header
	maxPointerBytes = 256
)

func putSource(c *call) *protocol.Error {
	name, err := c.sourceOf()
	if err != nil {
		return err
	}
	spec := &protocol.SourceSpec{Name: name, Keep: []string{}}
	if err := c.bindRequired([]binding{
		{name: "topic", required: true, set: setName(&spec.Topic)},
		{name: "cluster", set: setName(&spec.Cluster)},
		{name: "key_header", set: setKeptName(&spec.KeyHeader)},
		{name: "key_json", set: setPointer(&spec.KeyJSON)},
		{name: "id_header", set: setKeptName(&spec.IDHeader)},
		{name: "keep", set: setKept(&spec.Keep)},
		{name: "verify", required: true, set: setVerify(spec)},
	}); err != nil {
		return err
	}
	switch {
	case protocol.IsInternalTopic(spec.Topic):
		return internalTopic(spec.Topic)
	case spec.KeyHeader != "" && spec.KeyJSON != "":
		return protocol.Errorf(protocol.CodeNotAllowed, "a record has one key: key_header and key_json exclude each other").With("field", "key_json")
	}
	ctx, cancel := c.timeout()
	defer cancel()
	src, created, err := c.b.PutSource(ctx, spec)
	if err != nil {
		return err
	}
	return c.sendCreated(created, src)
}

func getSources(c *call) *protocol.Error {
	var p page
	if err := c.bindQuery(p.bindings()...); err != nil {
		return err
	}
	sources, err := c.b.Sources()
	if err != nil {
		return err
	}
	return sendList(c, &p, "sources", sources, func(r **protocol.Source) string { return (*r).Name })
}

func getSource(c *call) *protocol.Error {
	name, err := c.sourceOf()
	if err != nil {
		return err
	}
	src, err := c.b.Source(name)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, src)
}

func deleteSource(c *call) *protocol.Error {
	name, err := c.sourceOf()
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	if err := c.b.DeleteSource(ctx, name); err != nil {
		return err
	}
	c.sendNothing()
	return nil
}

// postSource takes a body as postWebhook does, if it is signed as its source says. The
// signature is what lets the sender in: whatever else it shows, it may write to the
// topic of the source, and do nothing else.
func postSource(c *call) *protocol.Error {
	name, err := c.sourceOf()
	if err != nil {
		return err
	}
	src, err := c.srv.b.Source(name)
	if err != nil {
		return err
	}
	if err := verifySignature(src, c.header, c.body, time.UnixMilli(c.srv.o.millis(c.arrived()))); err != nil {
		c.ctx.Response.Header.Set("WWW-Authenticate", `Signature realm="ottla"`)
		return err
	}
	if c.srv.access != nil {
		c.who = protocol.NewPrincipal("source:"+src.Name, []protocol.Grant{{
			Do: []string{protocol.RightWrite.String()}, Cluster: src.Cluster, Topics: src.Topic,
		}}, nil).WithUsage(c.who.Usage())
		c.b = c.srv.o.As(protocol.Access{Who: c.who, Do: protocol.RightWrite})
	}
	p := c.newProduce()
	p.source = src
	return p.answer()
}

// decodeSource takes the body as one value, as decodeWebhook does.
func (p *produce) decodeSource() *protocol.Error {
	src := p.source
	p.topic, p.cluster = src.Topic, src.Cluster
	return p.webhookRecord(&webhook{keyHeader: src.KeyHeader, keyJSON: src.KeyJSON, idHeader: src.IDHeader, keep: src.Keep})
}

// setKeptName takes the name of a header that is not too long.
func setKeptName(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if err := setHeaderName(dst)(field, v); err != nil {
			return err
		}
		if len(*dst) > maxKeptName {
			return protocol.Errorf(protocol.CodeNotAllowed, "%s has a name of %d bytes, more than %d", field, len(*dst), maxKeptName).
				With("field", field).With("limit", maxKeptName)
		}
		return nil
	}
}

// setKept takes an array of names of headers.
func setKept(dst *[]string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(field, "an array of strings")
		}
		r := protocol.NewJSONReader(v.json.Raw)
		n := 0
		for r.Array(); r.Element(); n++ {
			item, _ := r.Value()
			var name string
			if err := setKeptName(&name)(field, value{json: item}); err != nil {
				return err
			}
			if n == maxKept {
				return protocol.Errorf(protocol.CodeNotAllowed, "%s has more than %d headers", field, maxKept).With("field", field).With("limit", maxKept)
			}
			if !slices.Contains(*dst, name) {
				*dst = append(*dst, name)
			}
		}
		return nil
	}
}

// setVerify takes {"scheme", "header"?, "secret"}. Its errors do not name the secret.
func setVerify(spec *protocol.SourceSpec) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		words := make([]string, len(protocol.Schemes))
		for i, s := range protocol.Schemes {
			words[i] = string(s)
		}
		var scheme *string
		var secret string
		r := protocol.NewJSONReader(v.json.Raw)
		if err := bindObject(&r, field, []binding{
			{name: "scheme", required: true, set: setOneOf(&scheme, words...)},
			{name: "header", set: setKeptName(&spec.Verify.Header)},
			{name: "secret", required: true, set: setText(&secret)},
		}); err != nil {
			return err
		}
		spec.Verify.Scheme, spec.Secret = protocol.Scheme(*scheme), protocol.Secret(secret)
		_, usable := spec.Secret.Key(spec.Verify.Scheme)
		switch {
		case !usable && spec.Verify.Scheme == protocol.SchemeStandard:
			return protocol.Errorf(protocol.CodeNotAllowed, `%s.secret must be base64, of %d characters at most, with or without "whsec_" before it`,
				field, protocol.MaxSecretBytes).With("field", field+".secret")
		case !usable:
			return protocol.Errorf(protocol.CodeNotAllowed, "%s.secret must have 1 to %d bytes", field, protocol.MaxSecretBytes).With("field", field+".secret")
		case spec.Verify.Scheme == protocol.SchemeHMAC && spec.Verify.Header == "":
			return missing(field + ".header")
		case spec.Verify.Scheme == protocol.SchemeStandard && spec.Verify.Header != "":
			return protocol.Errorf(protocol.CodeNotAllowed, "%s.header: the headers of %s have fixed names", field, protocol.SchemeStandard).
				With("field", field+".header")
		}
		return nil
	}
}

// setPointer takes a JSON pointer (RFC 6901) other than the whole document.
func setPointer(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if err := setText(dst)(field, v); err != nil {
			return err
		}
		escapes := strings.NewReplacer("~0", "", "~1", "").Replace(*dst)
		if !strings.HasPrefix(*dst, "/") || strings.Contains(escapes, "~") || len(*dst) > maxPointerBytes {
			return protocol.Errorf(protocol.CodeNotAllowed, `%s must be a JSON pointer (RFC 6901) such as "/data/customer", of %d bytes at most`, field, maxPointerBytes).
				With("field", field)
		}
		return nil
	}
}

// pointedTo is the value that a JSON pointer points to. Found is false for a body that
// is no JSON, or has no such value. Of fields with the same name the first counts.
func pointedTo(body []byte, pointer string) (v protocol.JSONValue, found bool) {
	r := protocol.NewJSONReader(bytes.TrimPrefix(body, []byte(byteOrderMark)))
	v, ok := r.Value()
	if !ok || r.End() != nil {
		return v, false
	}
	for step := range strings.SplitSeq(pointer[1:], "/") {
		if v, found = child(v, strings.NewReplacer("~1", "/", "~0", "~").Replace(step)); !found {
			return v, false
		}
	}
	return v, true
}

// child is a field of an object, or an element of an array by its index.
func child(v protocol.JSONValue, name string) (protocol.JSONValue, bool) {
	r := protocol.NewJSONReader(v.Raw)
	switch r.Kind() {
	case '{':
		for r.Object(); r.Field(); {
			hit := string(r.Key) == name
			if field, ok := r.Value(); hit || !ok {
				return field, ok
			}
		}
	case '[':
		want, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(want) != name {
			return v, false
		}
		i := 0
		for r.Array(); r.Element(); i++ {
			if element, ok := r.Value(); i == want || !ok {
				return element, ok
			}
		}
	}
	return v, false
}
