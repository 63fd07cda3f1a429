// Package metric counts what happens on the hot path, at the price of an atomic
// addition or two.
package metric
