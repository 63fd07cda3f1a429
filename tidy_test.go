package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Limits of this project's style, in lines.
const (
	maxFileLines         = 500
	maxFunctionLines     = 70
	maxTestFunctionLines = 120 // tables of cases are long without being complicated
	maxFilesOfType       = 8   // that have methods of it: what is spread further has parts that want walls
)

// goFile is one parsed source file.
type goFile struct {
	path string
	src  []byte
	set  *token.FileSet
	ast  *ast.File
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// projectFiles lists the regular files of the project, without what is built
// or written at run time, and without what others have written.
func projectFiles(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch {
			case path == ".git", path == "bin", path == "data", path == "dist", path == "console/third_party", strings.HasSuffix(path, "testdata/fuzz"):
				return filepath.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() && path != ".git" { // a file in a linked work tree
			paths = append(paths, path)
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	return paths
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	for _, path := range projectFiles(t) {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		src, err := os.ReadFile(path)
		require.NoError(t, err)
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, src, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, goFile{path, src, set, parsed})
	}
	return files
}

// The package comment, with the invariants of the package, stands in doc.go, that of a
// program in main.go.
func TestEveryPackageHasAComment(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.isTest() {
			continue
		}
		dir, name := filepath.Split(f.path)
		right := name == "doc.go" || name == "main.go"
		documented[dir] = documented[dir] || f.ast.Doc != nil && right
		assert.True(t, f.ast.Doc == nil || right, "%s: the package comment stands in doc.go", f.path)
	}
	for dir, ok := range documented {
		assert.True(t, ok, "package in %s needs a doc.go with a comment", dir)
	}
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, f := range goFiles(t) {
		lines := bytes.Count(f.src, []byte("\n"))
		assert.LessOrEqual(t, lines, maxFileLines, "%s is too long: split it", f.path)
		limit := maxFunctionLines
		if f.isTest() {
			limit = maxTestFunctionLines
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			length := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1
			assert.LessOrEqual(t, length, limit, "%s: func %s is too long: split it", f.path, fn.Name.Name)
		}
	}
}

// A type whose methods are in very many files is several things under one name. It is
// parted into types that each know only what they need.
func TestTypesAreNotSpreadOverManyFiles(t *testing.T) {
	files := map[string]map[string]bool{} // by package and type
	for _, f := range goFiles(t) {
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || f.isTest() {
				continue
			}
			of := filepath.Dir(f.path) + "." + receiver(fn)
			if files[of] == nil {
				files[of] = map[string]bool{}
			}
			files[of][f.path] = true
		}
	}
	require.NotEmpty(t, files)
	for of, in := range files {
		assert.LessOrEqual(t, len(in), maxFilesOfType, "%s has methods in too many files: part it", of)
	}
}

// receiver is the name of the type that a method is of.
func receiver(fn *ast.FuncDecl) string {
	typ := fn.Recv.List[0].Type
	for {
		switch of := typ.(type) {
		case *ast.StarExpr:
			typ = of.X
		case *ast.IndexExpr:
			typ = of.X
		case *ast.IndexListExpr:
			typ = of.X
		case *ast.Ident:
			return of.Name
		default:
			return "" // which no receiver is
		}
	}
}

func TestNoTestSleeps(t *testing.T) {
	for _, f := range goFiles(t) {
		if !f.isTest() {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			assert.False(t, ok && pkg.Name == "time" && sel.Sel.Name == "Sleep",
				"%s: wait for a condition instead of sleeping", f.set.Position(n.Pos()))
			return true
		})
	}
}

// The patterns are written so that they do not match themselves.
var unfit = []struct {
	why     string
	pattern *regexp.Regexp
}{
	{"work left open", regexp.MustCompile(`\b(TO[D]O|FIX[M]E|XX[X])\b|panic\("(un|not )impl[e]mented`)},
	{"a path of one machine", regexp.MustCompile(`(^|[^A-Za-z0-9_.\-])/(home|root|Users|wor[k]|far[m])/`)},
	{"a conflict left by a merge", regexp.MustCompile(`^(<{7}|>{7}|\|{7})( |\r?$)|^={7}\r?$`)},
}

func TestTextIsFitToPublish(t *testing.T) {
	for _, path := range projectFiles(t) {
		if filepath.Base(path) == "go.sum" {
			continue
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		if bytes.IndexByte(data, 0) >= 0 {
			continue // not text
		}
		for i, line := range bytes.Split(data, []byte("\n")) {
			for _, u := range unfit {
				assert.False(t, u.pattern.Match(line), "%s:%d: %s: %s", path, i+1, u.why, line)
			}
		}
	}
}

// Direct dependencies are few, and docs/dependencies.md says why each is there.
func TestEveryDirectDependencyIsExplained(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	doc, err := os.ReadFile("docs/dependencies.md")
	require.NoError(t, err)
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllStringSubmatch(string(mod), -1) {
		known[m[1]] = true
	}
	used := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, imp := range f.ast.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			for module := range known {
				if path == module || strings.HasPrefix(path, module+"/") {
					used[module] = true
				}
			}
		}
	}
	for module := range used {
		assert.True(t, strings.Contains(string(doc), "`"+module+"`"), "docs/dependencies.md must say what %s is for", module)
	}
}
