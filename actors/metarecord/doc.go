// Package metarecord gives the records of internal topics their form.
//
// __cluster_metadata and __consumer_offsets hold state: each record says what
// happened (its action), to what (its key), and the whole state of that thing
// from then on (its value). So the newest record of each key is all that a
// replay needs, and compaction by key loses nothing. What the records mean is
// known to the state machines that apply them, not here.
package metarecord
