// Command campaign measures the tests. It builds the tests with each known bug of
// package mutate, runs the suites that should notice the bug, and prints a table of
// the tests that failed and how soon. It ends with status 1 if a suite noticed
// nothing. It must be run in the root of the repository; `make mutate` does that.
package main
