package http

import (
	"bytes"
	_ "embed" // for the template
	"encoding/json"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

//go:embed docs.html
var docsTemplate string

// docsPage makes an HTML page of an OpenAPI document.
func docsPage(document []byte) ([]byte, error) {
	doc, err := readContract(document)
	if err != nil {
		return nil, err
	}
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var page bytes.Buffer
	if err := t.Execute(&page, doc); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return page.Bytes(), nil
}

// getDocs answers with the page. The page needs nothing from elsewhere, and its
// Content-Security-Policy lets it fetch nothing.
func getDocs(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	page, err := c.srv.docs()
	if err != nil {
		return protocol.Errorf(protocol.CodeInternal, "cannot render the documentation: %v", err)
	}
	c.send(fasthttp.StatusOK, append(c.out(), page...))
	h := &c.ctx.Response.Header
	h.SetContentType("text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")
	return nil
}

// contract is what the page shows of the document.
type contract struct {
	Title, Description string
	Groups             []docGroup
	Errors             []docStatus
	Schemas            []docSchema
}

// docGroup is a tag with its operations.
type docGroup struct {
	Name, Description string
	Operations        []docOperation
}

type docOperation struct {
	ID, Method, Path, Summary, Description string
	Parameters                             []docParameter
	Bodies                                 []docBody
	Responses                              []docResponse
	Curl                                   string // a command that calls it
}

type docParameter struct {
	Name, In, Type, Description string
	Required                    bool
}

type docBody struct {
	Media, Type, Ref string
	Examples         []string
}

type docResponse struct {
	Status, Description string
	Bodies              []docBody
}

type docSchema struct {
	Name, Description, Text string
}

// node is any object of the document.
type node map[string]any

func (n node) text(name string) string { s, _ := n[name].(string); return s }
func (n node) node(name string) node   { m, _ := n[name].(map[string]any); return m }
func (n node) list(name string) []any  { l, _ := n[name].([]any); return l }

// readContract takes the content of the page from an OpenAPI document.
func readContract(document []byte) (*contract, error) {
	var root node
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber() // limits are shown digit for digit, not as 1.048576e+06
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	r := contractReader{root: root}
	doc := &contract{Title: root.node("info").text("title"), Description: root.node("info").text("description"), Errors: errorStatuses()}
	for _, tag := range root.list("tags") {
		t := node(tag.(map[string]any))
		doc.Groups = append(doc.Groups, docGroup{Name: t.text("name"), Description: t.text("description")})
	}
	paths := root.node("paths")
	for _, path := range sortedKeys(paths) {
		for _, method := range sortedKeys(paths.node(path)) {
			op := paths.node(path).node(method)
			i := slices.IndexFunc(doc.Groups, func(g docGroup) bool { return g.Name == op.list("tags")[0] })
			doc.Groups[i].Operations = append(doc.Groups[i].Operations, r.operation(strings.ToUpper(method), path, op))
		}
	}
	schemas := root.node("components").node("schemas")
	for _, name := range sortedKeys(schemas) {
		s := schemas.node(name)
		doc.Schemas = append(doc.Schemas, docSchema{Name: name, Description: s.text("description"), Text: indented(s)})
	}
	return doc, nil
}

func sortedKeys(n node) []string {
	keys := make([]string, 0, len(n))
	for k := range n {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func indented(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}

// contractReader resolves references of the document.
type contractReader struct{ root node }

// at returns what n refers to if it is a reference, else n.
func (r contractReader) at(n node) node {
	ref := n.text("$ref")
	if ref == "" {
		return n
	}
	out := r.root
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		out = out.node(part)
	}
	return out
}

func (r contractReader) operation(method, path string, op node) docOperation {
	out := docOperation{
		ID: op.text("operationId"), Method: method, Path: path, Summary: op.text("summary"), Description: op.text("description"),
		Bodies: r.bodies(op.node("requestBody").node("content")),
	}
	for _, p := range op.list("parameters") {
		p := r.at(p.(map[string]any))
		required, _ := p["required"].(bool)
		out.Parameters = append(out.Parameters, docParameter{
			Name: p.text("name"), In: p.text("in"), Type: typeOf(p.node("schema")), Description: p.text("description"), Required: required,
		})
	}
	responses := op.node("responses")
	for _, status := range sortedKeys(responses) {
		resp := r.at(responses.node(status))
		out.Responses = append(out.Responses, docResponse{
			Status: status, Description: resp.text("description"), Bodies: r.bodies(resp.node("content")),
		})
	}
	out.Curl = out.command(r.example(op.node("requestBody").node("content").node("application/json")))
	return out
}

// example is the first one of a body, on one line; "" if there is none.
func (r contractReader) example(media node) string {
	example, ok := media["example"]
	if names := sortedKeys(media.node("examples")); !ok && len(names) > 0 {
		example, ok = media.node("examples").node(names[0])["value"]
	}
	if !ok {
		return ""
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(example); err != nil {
		return ""
	}
	return strings.TrimSpace(b.String())
}

// command calls the operation with curl: what has to be filled in is in capitals.
func (o *docOperation) command(example string) string {
	path := regexp.MustCompile(`\{(\w+)\}`).ReplaceAllStringFunc(o.Path, func(name string) string { return strings.ToUpper(strings.Trim(name, "{}")) })
	separator := "?"
	for _, p := range o.Parameters {
		if p.In == "query" && p.Required {
			path += separator + p.Name + "=" + strings.ToUpper(p.Name)
			separator = "&"
		}
	}
	words := []string{"curl"}
	switch {
	case o.Method == "GET" && example != "", o.Method != "GET" && (o.Method != "POST" || example == ""):
		words = append(words, "-X", o.Method)
	}
	words = append(words, shellWord("localhost:8080"+path))
	if example != "" {
		words = append(words, "-d", shellWord(example))
	}
	return strings.Join(words, " ")
}

// shellWord quotes text for a shell, where it needs that.
func shellWord(text string) string {
	if strings.ContainsAny(text, " '\"?&*{}[]$`\\!<>|;()#~\n") {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}

func (r contractReader) bodies(content node) (out []docBody) {
	for _, media := range sortedKeys(content) {
		m := content.node(media)
		b := docBody{Media: media, Type: typeOf(m.node("schema"))}
		if name, ok := strings.CutPrefix(m.node("schema").text("$ref"), "#/components/schemas/"); ok {
			b.Ref = name
		}
		if example, ok := m["example"]; ok {
			b.Examples = append(b.Examples, indented(example))
		}
		for _, name := range sortedKeys(m.node("examples")) {
			b.Examples = append(b.Examples, indented(m.node("examples").node(name)["value"]))
		}
		out = append(out, b)
	}
	return out
}

// typeOf describes a schema in a few words.
func typeOf(s node) string {
	if name, ok := strings.CutPrefix(s.text("$ref"), "#/components/schemas/"); ok {
		return name
	}
	for _, way := range []string{"oneOf", "anyOf", "allOf"} {
		var parts []string
		for _, x := range s.list(way) {
			parts = append(parts, typeOf(x.(map[string]any)))
		}
		if len(parts) > 0 {
			return strings.Join(parts, " or ")
		}
	}
	words := s.text("type")
	for i, v := range s.list("enum") {
		if i > 0 {
			words += " | "
		}
		words += fmt.Sprint(v)
	}
	if words == "array" {
		words = "list of " + typeOf(s.node("items"))
	}
	if d := s.text("description"); words == "string" && d != "" {
		words += ": " + d
	}
	if def, ok := s["default"]; ok {
		words += fmt.Sprintf(", default %v", def)
	}
	return words
}
