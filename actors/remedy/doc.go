// Package remedy says what is done about replicas that do not run although they should:
// when each is opened again (Retry), and whether one that cannot be made whole by itself is
// replaced or mended (Problems.Remedy). It also says how long anything that has failed rests
// before it is tried again (Backoff). It is pure: it knows no actor, no file and no clock.
//
// A replica whose files cannot be trusted is replaced while a majority of the group's other
// replicas runs: a successor with a new id is filled by them. Where no such majority runs
// nobody can decide on a successor, and the files are needed: the replica is mended in place,
// under its id, with entries out of the other copies' files.
//
// What follows from that, and is not obvious:
//
//   - Neither is done on a guess: as long as those that run are no majority, but would be
//     one with those that have not reported yet, it waits. At a start of the process the
//     first to report would otherwise find all others missing, and be mended although they
//     are about to run. Replacing gives up the damaged files for good.
//   - A replica that is being replaced, unless it is sound and only moves, and its successor
//     count for no majority. The one is to leave, the other may have nothing yet; counted
//     both, two of three replicas could be given up at the same time.
//   - Damage that is not found when it is looked for comes of memory or a disk that fails
//     now and then. It is looked for again after growing pauses, or the replica would be
//     mended in an endless loop.
package remedy
