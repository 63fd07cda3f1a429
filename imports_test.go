package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the import graph into docs/architecture.md")

// The import graph stands in docs/architecture.md between these lines.
const (
	graphBegin = "<!-- import graph: make imports -->\n```\n"
	graphEnd   = "```\n<!-- end of the import graph -->\n"
)

// importGraph lists every package with the packages of this module that it
// imports, those first that import most. Packages that import the same stand in one line.
// Test files do not count, nor do packages that only they import. A package that is
// imported from everywhere, mutate, is left out of the lists.
func importGraph(t *testing.T) string {
	t.Helper()
	imports := map[string]map[string]bool{}
	for _, f := range goFiles(t) {
		dir := filepath.ToSlash(filepath.Dir(f.path))
		if f.isTest() || strings.HasPrefix(dir, "bench/peers") || strings.HasPrefix(dir, "console/build") { // modules of their own
			continue
		}
		if dir == "." {
			dir = "main"
		}
		if imports[dir] == nil {
			imports[dir] = map[string]bool{}
		}
		for _, imp := range f.ast.Imports {
			if path, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), "ottla/"); ours && path != "mutate" {
				imports[dir][path] = true
			}
		}
	}
	reach := map[string]map[string]bool{}
	var visit func(dir string) map[string]bool
	visit = func(dir string) map[string]bool {
		if all, done := reach[dir]; done {
			require.NotNil(t, all, "import cycle at %s", dir)
			return all
		}
		reach[dir] = nil
		all := map[string]bool{}
		for path := range imports[dir] {
			all[path] = true
			maps.Copy(all, visit(path))
		}
		reach[dir] = all
		return all
	}
	dirs := slices.Sorted(maps.Keys(imports))
	for _, dir := range dirs {
		visit(dir)
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return len(reach[b]) - len(reach[a]) })
	var lines []string
	by := map[string][]string{} // packages by what they import
	for _, dir := range dirs {
		if onlyForTests.MatchString(dir) {
			continue
		}
		line := strings.Join(slices.Sorted(maps.Keys(imports[dir])), " ")
		if by[line] == nil && line != "" {
			lines = append(lines, line)
		}
		by[line] = append(by[line], dir)
	}
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "%-19s -> %s\n", strings.Join(by[line], ", "), line)
	}
	fmt.Fprintf(&b, "nothing of ours     <- %s\n", strings.Join(by[""], " "))
	return b.String()
}

var onlyForTests = regexp.MustCompile(`test$|/faultfs$`)

// TestImportGraphIsDrawn holds docs/architecture.md against the code.
func TestImportGraphIsDrawn(t *testing.T) {
	const path = "docs/architecture.md"
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(data), graphBegin)
	require.True(t, found, "%s has no import graph", path)
	drawn, after, found := strings.Cut(rest, graphEnd)
	require.True(t, found, "%s: the import graph has no end", path)
	graph := importGraph(t)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(before+graphBegin+graph+graphEnd+after), 0o644))
		return
	}
	require.Equal(t, graph, drawn, "the drawing in %s is old: make imports", path)
}
