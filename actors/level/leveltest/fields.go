package leveltest

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
)

// Fields holds the fields of JSON values, by a name for each, against a file with a line
// for each field: its path, and the level from which on it is written. Whoever adds a field
// adds a line, and sees to it that below that level it is not written: older programs
// refuse a value with a field that they do not know.
func Fields(t *testing.T, file string, values map[string]any) {
	t.Helper()
	known := map[string]int{}
	f, err := os.Open(file)
	require.NoError(t, err)
	defer func() { _ = f.Close() }() // only read from
	for in := bufio.NewScanner(f); in.Scan(); {
		var path string
		var from int
		_, err := fmt.Sscan(in.Text(), &path, &from)
		require.NoError(t, err, in.Text())
		assert.True(t, from >= level.Oldest && from <= level.Newest, in.Text())
		known[path] = from
	}
	found := map[string]bool{}
	for name, v := range values {
		walk(name, reflect.TypeOf(v), func(path string) {
			found[path] = true
			assert.Contains(t, known, path, "a new field: give it a level in %s", file)
		})
	}
	for path := range known {
		assert.Contains(t, found, path, "a field that is not written any more may be there still: keep reading it")
	}
}

func walk(at string, typ reflect.Type, visit func(string)) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		walk(at, typ.Elem(), visit)
		return
	case reflect.Struct:
	default:
		return
	}
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && field.Anonymous:
			walk(at, field.Type, visit)
		case name == "" && !field.IsExported():
		default:
			if name == "" {
				name = field.Name
			}
			visit(at + "." + name)
			walk(at+"."+name, field.Type, visit)
		}
	}
}
