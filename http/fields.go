package http

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// binding says what becomes of a field that a request may have, in its JSON
// body or in its query.
type binding struct {
	name     string
	required bool
	many     bool // it may be repeated in a query
	set      func(name string, v value) *protocol.Error
}

// setField sets the field with number i of a list that is the same for all requests. It
// takes the place of the set of each, where making those for each request costs much.
type setField func(i int, name string, v value) *protocol.Error

// setters is the setField of bindings that set by themselves.
func setters(fields []binding) setField {
	return func(i int, name string, v value) *protocol.Error { return fields[i].set(name, v) }
}

// value is a field's value as it was sent: JSON, or the text of a query parameter.
type value struct {
	json protocol.JSONValue
	text []byte
	isQ  bool // it is of a query: text is set
}

// wrong is the error for a value of another type than want.
func (v value) wrong(name, want string) *protocol.Error {
	if v.isQ {
		return invalid(name, "must be %s", want)
	}
	return wrongType(name, want)
}

// bindJSON sets fields from a JSON object. Unknown, repeated and missing fields
// are errors, and so is anything that follows it.
func bindJSON(object []byte, fields []binding) *protocol.Error {
	return bindJSONBy(object, fields, setters(fields))
}

func bindJSONBy(object []byte, fields []binding, set setField) *protocol.Error {
	r := protocol.NewJSONReader(object)
	if err := bindObjectBy(&r, "", fields, set); err != nil {
		return err
	}
	if err := r.End(); err != nil {
		return syntaxError("the body", err)
	}
	return nil
}

// bindObject sets fields from the object that is next in r. In messages it is
// called within; empty stands for the body itself. An error of the object's form
// goes before an error of a value.
func bindObject(r *protocol.JSONReader, within string, fields []binding) *protocol.Error {
	return bindObjectBy(r, within, fields, setters(fields))
}

func bindObjectBy(r *protocol.JSONReader, within string, fields []binding, set setField) *protocol.Error {
	if k := r.Kind(); k != '{' && k != 0 {
		return notAnObject(within)
	}
	var (
		seen    uint64
		unknown []string
		wrong   *protocol.Error // of the first wrong value
	)
	for r.Object(); r.Field(); {
		i := indexOf(fields, r.Key)
		if i < 0 {
			unknown = noteUnknown(unknown, []byte(prefixed(within, string(r.Key))))
			r.Value()
			continue
		}
		if seen&(1<<i) != 0 {
			return duplicateField(within, r.Key)
		}
		seen |= 1 << i
		v, ok := r.Value()
		if !ok {
			break
		}
		if err := set(i, prefixed(within, fields[i].name), value{json: v}); wrong == nil {
			wrong = err
		}
	}
	if err := r.Err(); err != nil {
		return syntaxError("the body", err)
	}
	if len(unknown) > 0 {
		return unknownNames(protocol.CodeUnknownField, "field", "unknown field", unknown)
	}
	if wrong != nil {
		return wrong
	}
	return checkRequired(within, fields, seen)
}

// bindQuery sets fields from the query. Unknown, repeated and missing
// parameters are errors.
func bindQuery(args *fasthttp.Args, fields []binding, set setField) *protocol.Error {
	var (
		seen    uint64
		unknown []string
		wrong   *protocol.Error // of the first wrong value
	)
	for k, v := range args.All() {
		i := indexOf(fields, k)
		if i < 0 {
			unknown = noteUnknown(unknown, k)
			continue
		}
		err := set(i, fields[i].name, value{text: v, isQ: true})
		if seen&(1<<i) != 0 && !fields[i].many {
			err = invalid(fields[i].name, "is given more than once")
		}
		seen |= 1 << i
		if wrong == nil {
			wrong = err
		}
	}
	if len(unknown) > 0 {
		return unknownNames(protocol.CodeUnknownParameter, "parameter", "unknown query parameter", unknown)
	}
	if wrong != nil {
		return wrong
	}
	return checkRequired("", fields, seen)
}

// bindQuery sets fields from the query and from nothing else.
func (q *request) bindQuery(fields ...binding) *protocol.Error {
	if len(fields) == 0 && len(q.ctx.URI().QueryString()) == 0 {
		return nil
	}
	return bindQuery(q.ctx.QueryArgs(), fields, setters(fields))
}

// bindBody sets fields from the JSON body; the query must be empty.
func (q *request) bindBody(fields ...binding) *protocol.Error {
	if err := q.bindQuery(); err != nil {
		return err
	}
	return q.bindRequired(fields)
}

// bindRequired sets fields from the JSON body, which must not be empty.
func (q *request) bindRequired(fields []binding) *protocol.Error {
	return q.bindRequiredBy(fields, setters(fields))
}

func (q *request) bindRequiredBy(fields []binding, set setField) *protocol.Error {
	if len(q.body) == 0 {
		return protocol.Errorf(protocol.CodeMalformed, "a JSON body is required")
	}
	return bindJSONBy(q.body, fields, set)
}

func checkRequired(within string, fields []binding, seen uint64) *protocol.Error {
	for i := range fields {
		if fields[i].required && seen&(1<<i) == 0 {
			return missing(prefixed(within, fields[i].name))
		}
	}
	return nil
}

func indexOf(fields []binding, name []byte) int {
	if len(fields) > bits.UintSize {
		panic("BUG: more fields than bits")
	}
	for i := range fields {
		if fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

// maxUnknown is how many unknown names an answer lists at most.
const maxUnknown = 16

func noteUnknown(noted []string, name []byte) []string {
	if len(noted) == maxUnknown {
		return noted
	}
	return append(noted, string(bytes.ToValidUTF8(name, []byte("\ufffd"))))
}

// unknownNames is the error for names that this kind of request does not have.
func unknownNames(code protocol.Code, detail, what string, names []string) *protocol.Error {
	e := protocol.Errorf(code, "%s %.200q", what, names[0]).With(detail, names[0])
	if len(names) > 1 {
		for _, name := range names[1:] {
			e.Message += fmt.Sprintf(", %.200q", name)
		}
		e = e.With(detail+"s", names)
	}
	return e
}

func unknownField(within string, key []byte) *protocol.Error {
	name := prefixed(within, string(bytes.ToValidUTF8(key, []byte("\ufffd"))))
	return protocol.Errorf(protocol.CodeUnknownField, "unknown field %.200q", name).With("field", name)
}

func duplicateField(within string, key []byte) *protocol.Error {
	name := prefixed(within, string(key))
	return protocol.Errorf(protocol.CodeMalformed, "field %.200q is given more than once", name).With("field", name)
}

func prefixed(within, name string) string {
	if within == "" {
		return name
	}
	return within + "." + name
}

// notAnObject is the error for what should be a JSON object. The body itself is
// not named as a field.
func notAnObject(within string) *protocol.Error {
	if within == "" {
		return protocol.Errorf(protocol.CodeMalformed, "the body must be a JSON object")
	}
	return wrongType(within, "a JSON object")
}

// bindEither sets fields from the body, or from the query if there is no body.
func (q *request) bindEither(fields []binding, set setField) *protocol.Error {
	if len(q.body) == 0 {
		return bindQuery(q.ctx.QueryArgs(), fields, set)
	}
	if len(q.ctx.URI().QueryString()) > 0 {
		return protocol.Errorf(protocol.CodeMalformed, "a body and query parameters exclude each other")
	}
	return bindJSONBy(q.body, fields, set)
}
