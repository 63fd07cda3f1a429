package actors

import "ottla/protocol"

// takeRoom asks for the room that records are read into; a read that is no
// client's has none to ask for.
func takeRoom(r protocol.Room, want int) (int, *protocol.Error) {
	if r == nil {
		return want, nil
	}
	return r.Take(want)
}

// keepRoom gives back what the n bytes that were read do not fill.
func keepRoom(r protocol.Room, n int) *protocol.Error {
	if r == nil {
		return nil
	}
	return r.Keep(n)
}

// recordOverhead is what a record costs besides its key, value and headers
// when bytes are counted: roughly the rest of its line.
const recordOverhead = 64

func sizeOf(r *protocol.Record) int {
	return len(r.Key) + len(r.Value) + len(r.Headers) + recordOverhead
}
