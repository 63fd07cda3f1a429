package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// place is a name of the code with the file or the package that has it, as
// docs/architecture.md writes it.
var place = regexp.MustCompile("`([A-Za-z]+(?:\\.[A-Za-z]+)?)` \\(`([a-z_/]+(?:\\.go)?)`\\)")

// Where docs/architecture.md says that something happens, it does.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	require.NoError(t, err)
	places := place.FindAllStringSubmatch(string(text), -1)
	require.Greater(t, len(places), 15)
	for _, p := range places {
		files := []string{p[2]}
		if !strings.HasSuffix(p[2], ".go") {
			files, err = filepath.Glob(filepath.Join(p[2], "*.go"))
			require.NoError(t, err)
		}
		found := false
		for _, file := range files {
			found = found || declares(t, file, p[1])
		}
		assert.True(t, found, "%s declares no %s", p[2], p[1])
	}
}

// declares reports whether a file declares a name: of a function, a method (of whatever
// type, unless it is written Type.Method), a type, a variable or a constant.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err, "docs/architecture.md names %s", file)
	owner, name, method := strings.Cut(name, ".")
	if !method {
		owner, name = "", owner
	}
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == name && (!method || d.Recv != nil && receiver(d) == owner) {
				return true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if !method && spec.Name.Name == name {
						return true
					}
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						if !method && n.Name == name {
							return true
						}
					}
				}
			}
		}
	}
	return false
}
