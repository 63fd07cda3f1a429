// Package clock says what time it is where a wrong time does lasting harm: to the append
// times of entries, by which ids are forgotten, to retention, which deletes records, and to
// deadlines that outlive the node that has set them.
//
// In a fleet the clocks of the other nodes are asked again and again (Heard). A node whose
// clock differs from those of most nodes, which agree, is wrong and goes by the median of
// those instead; a few that are wrong do not matter to the others.
//
// The system's clock may be set ahead by years for a moment. Where other nodes do not say
// what is right, a jump ahead of more than a bound is believed only once it has lasted as
// long (Millis): until then time goes on from what it was. Steps back, and smaller ones
// ahead, are believed at once, and so is whatever the clock says when the process starts.
package clock
