// Package e2e holds black-box tests: they start the real binary on a data
// directory of their own, speak HTTP to it, kill it, damage its files, and
// compare what it answers with what docs and API promise. They import nothing
// of the broker.
package e2e
