// Package fanout gives the records of a topic to all streams that wait at the same
// place: each record is read once, rendered once for each form that is asked for, and
// written to all of them by one goroutine, which waits for none.
//
// # How a stream comes and goes
//
// A stream reads alone until it is at the end of the topic. The first to get there
// starts the feed at its place. Others read alone up to the place of the feed
// (Feed.Target) and attach there; the last few chunks are kept, so that a feed that has
// moved on meanwhile does not have to be caught again. A stream whose client takes less
// than a whole chunk is detached with what is left. Its own goroutine writes that, and
// attaches again: a slow reader costs the others nothing.
//
// # Invariants
//
//   - A place is a cursor over all partitions that are read. Streams at equal cursors
//     have the same records before them, and get the same bytes from then on.
//   - A chunk is given to a stream either by the feed or by Attach, never by both:
//     Subscriber.next is the number of the next chunk, and each takes only that one.
//   - After Detach has returned, the feed writes nothing to the stream.
//   - The feed's goroutine runs only while streams are attached, or were a moment ago.
package fanout
