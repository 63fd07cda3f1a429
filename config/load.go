package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load reads a file on top of the defaults. It does not validate, because the
// environment and flags may still override what the file says. Errors name the
// file, the line and the key.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Parse is Load for the content of a file. A key that is unknown, given twice or
// without a value, and a second document are errors.
func Parse(data []byte) (*Config, error) {
	c := Default()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return c, nil
	case err != nil:
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	p := parser{leaves: map[string]leaf{}, sections: map[string]bool{}, seen: map[string]int{}}
	for _, l := range leaves(c) {
		p.leaves[l.path] = l
		for i, c := range l.path {
			if c == '.' {
				p.sections[l.path[:i]] = true
			}
		}
	}
	root := doc.Content[0]
	if root.Tag == "!!null" {
		return c, nil
	}
	p.mapping("", root)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return c, nil
}

// parser walks the document and collects every error, so that one run reports
// all mistakes in a file.
type parser struct {
	leaves   map[string]leaf
	sections map[string]bool
	seen     map[string]int // path -> line
	errs     []error
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...)))
}

func (p *parser) mapping(prefix string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be a mapping of keys to values", describe(prefix))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		path := prefix + key.Value
		if line, dup := p.seen[path]; dup {
			p.fail(key, "key %s was already set in line %d", path, line)
			continue
		}
		p.seen[path] = key.Line
		l, isLeaf := p.leaves[path]
		switch {
		case key.Kind == yaml.ScalarNode && isLeaf:
			p.scalar(l, value)
		case key.Kind == yaml.ScalarNode && p.sections[path]:
			p.mapping(path+".", value)
		default:
			p.fail(key, "unknown key %s", path)
		}
	}
}

func (p *parser) scalar(l leaf, n *yaml.Node) {
	if levels, ok := l.value.Addr().Interface().(*Levels); ok && n.Kind == yaml.MappingNode {
		p.levels(l.path, levels, n)
		return
	}
	if list, ok := l.value.Addr().Interface().(*List); ok && n.Kind == yaml.SequenceNode {
		p.list(l.path, list, n)
		return
	}
	if n.Kind != yaml.ScalarNode {
		p.fail(n, "key %s must have a single value", l.path)
		return
	}
	if n.Tag == "!!null" {
		p.fail(n, "key %s has no value", l.path)
		return
	}
	if err := l.set(n.Value); err != nil {
		p.fail(n, "key %s: %v", l.path, err)
	}
}

// list reads [text, ...].
func (p *parser) list(path string, out *List, n *yaml.Node) {
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" || item.Value == "" {
			p.fail(item, "key %s must be a list of texts", path)
			continue
		}
		*out = append(*out, item.Value)
	}
}

// levels reads {package: level, ...}; Validate checks that they exist.
func (p *parser) levels(path string, out *Levels, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			p.fail(key, "key %s must be a mapping of packages to levels", path)
			continue
		}
		if _, dup := (*out)[key.Value]; dup {
			p.fail(key, "key %s has %s twice", path, key.Value)
			continue
		}
		if *out == nil {
			*out = Levels{}
		}
		(*out)[key.Value] = value.Value
	}
}

func describe(prefix string) string {
	if prefix == "" {
		return "the document"
	}
	return "key " + strings.TrimSuffix(prefix, ".")
}

// YAML renders the configuration as a file that Load can read.
func (c *Config) YAML() ([]byte, error) {
	out, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("render configuration: %w", err)
	}
	return out, nil
}
