package config

import (
	"fmt"
	"strings"
)

// Levels are log levels by package: {actors: debug, http: warn} in a file,
// "actors=debug,http=warn" in the environment.
type Levels map[string]string

// ParseLevels parses the form of the environment; an empty text means no levels.
// Validate checks that the packages and levels exist.
func ParseLevels(s string) (Levels, error) {
	if s == "" {
		return nil, nil
	}
	levels := Levels{}
	for pair := range strings.SplitSeq(s, ",") {
		name, level, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || name == "" || level == "" {
			return nil, fmt.Errorf("%q is not a list such as actors=debug,http=warn", s)
		}
		if _, dup := levels[name]; dup {
			return nil, fmt.Errorf("%q names %s twice", s, name)
		}
		levels[name] = level
	}
	return levels, nil
}
