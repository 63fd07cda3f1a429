// Package few has a map for few entries. There are as many of them as consumer
// groups, and a map of Go's takes memory for eight entries at once.
package few
