// Package mutate builds known bugs into the broker, one at a time, to measure the
// tests: if no test notices a bug that is built in, none would notice it if somebody
// made it by mistake. The code of each bug stands where the rule is that it breaks.
//
// In an ordinary build On returns a constant false, and the compiler removes the
// bugs. With `-tags mutate` the environment variable OTTLA_MUTATE names the bug that
// is built in; `make mutate` tries all of them.
package mutate
