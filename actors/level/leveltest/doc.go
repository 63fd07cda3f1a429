// Package leveltest helps tests to hold what is written against the table of levels.
package leveltest
