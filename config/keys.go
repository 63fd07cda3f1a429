package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// EnvPrefix is the prefix of every environment variable that overrides a key.
const EnvPrefix = "OTTLA_"

// leaf is one setting: its path ("limits.body_bytes") and its field.
type leaf struct {
	path  string
	value reflect.Value
}

// env is the name of the variable that overrides the setting.
func (l leaf) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(l.path, ".", "_"))
}

// set parses text into the setting.
func (l leaf) set(text string) error {
	switch p := l.value.Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = n
	case *Duration:
		d, err := ParseDuration(text)
		if err != nil {
			return err
		}
		*p = d
	case *Bytes:
		b, err := ParseBytes(text)
		if err != nil {
			return err
		}
		*p = b
	case *Levels:
		levels, err := ParseLevels(text)
		if err != nil {
			return err
		}
		*p = levels
	case *List:
		*p = ParseList(text)
	default:
		panic(fmt.Sprintf("BUG: config key %s has the unsupported type %s", l.path, l.value.Type()))
	}
	return nil
}

// leaves lists all settings of c in the order of its fields.
func leaves(c *Config) []leaf {
	var out []leaf
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			path := prefix + v.Type().Field(i).Tag.Get("yaml")
			if v.Field(i).Kind() == reflect.Struct {
				walk(path+".", v.Field(i))
				continue
			}
			out = append(out, leaf{path, v.Field(i)})
		}
	}
	walk("", reflect.ValueOf(c).Elem())
	return out
}

// Keys lists the path of every setting, in the order of config.yaml.
func Keys() []string {
	var paths []string
	for _, l := range leaves(&Config{}) {
		paths = append(paths, l.path)
	}
	return paths
}

// ApplyEnv overrides settings from the environment. Variables with the prefix
// OTTLA_ that name no key are ignored: container platforms set such names, and
// the client commands have variables of their own. The error names each variable
// whose value cannot be parsed.
func (c *Config) ApplyEnv(lookup func(name string) (string, bool)) error {
	var errs []error
	for _, l := range leaves(c) {
		text, ok := lookup(l.env())
		if !ok {
			continue
		}
		if err := l.set(text); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", l.env(), err))
		}
	}
	return errors.Join(errs...)
}
