// Package level is the gate before everything that older programs cannot read. A fleet
// has a level, which its metadata holds: what is written to disk, or sent to another
// node, is of that level or below. It is raised once every node runs a program that
// offers more, and never lowered.
//
// Whoever changes what is written gives it a level: Formats names all of it, and tests of
// the packages that write hold it.
package level
