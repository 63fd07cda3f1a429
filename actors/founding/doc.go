// Package founding finds out which fleet a data directory belongs to: it founds one with
// others, joins one, or reads which one it is.
//
// An empty one asks all its seeds. If one of them belongs to a fleet, this node is
// one of its founders, or joins it. If all are empty, all there, and all have the
// same seeds, the first of the seeds writes down the founding, with all of them as
// founders; the others find it there and write it down too. A founding is written
// once and never changed, so two foundings cannot both get all founders. Nobody
// founds alone who has seeds.
package founding
