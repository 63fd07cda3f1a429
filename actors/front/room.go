package front

import "ottla/protocol"

// takeRoom reserves memory for the need bytes that a read is likely to bring. It returns
// how many bytes may be read: most, or fewer if there is not enough memory for need. Error:
// overloaded. Memory is reserved before anything is read, and once for an answer: a read
// that waits for more while it holds some could wait for another that does the same.
func takeRoom(r protocol.Room, need, most int) (int, *protocol.Error) {
	if r == nil {
		return most, nil
	}
	need = max(need, 1)
	n, err := r.Take(need)
	if err != nil || n < need {
		return min(n, most), err
	}
	return most, nil
}

// keepRoom reduces the reservation to the n bytes that were read. Error:
// overloaded, when a single large record exceeds it.
func keepRoom(r protocol.Room, n int) *protocol.Error {
	if r == nil {
		return nil
	}
	return r.Keep(n)
}

// recordOverhead is what a record costs besides its key, value and headers
// when bytes are counted: roughly the rest of its line.
const recordOverhead = 64

// sizeOf is what a record counts in an answer, about what it takes there in bytes.
func sizeOf(r *protocol.Record) int {
	return len(r.Key) + len(r.Value) + len(r.Headers) + recordOverhead
}
