package config

import "strings"

// List is a list of texts: [a, b] in a file, "a,b" in the environment.
type List []string

// ParseList parses the form of the environment; an empty text means an empty
// list.
func ParseList(s string) List {
	var list List
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}
