package replica

import (
	"time"

	"ottla/logfile"
	"ottla/mutate"
	"ottla/protocol"
)

// Proposal is something that wants to be in the log: a client's records, a
// state machine's records, or a control entry.
type Proposal struct {
	Request *protocol.ProduceRequest // a client's, else nil; answered through its reply slot
	Lines   *protocol.Lines          // the records; must not change until the proposal is answered
	control []byte                   // instead of Lines
	// Done is called with the result when Request is nil, on the owner's
	// goroutine, from within a call of the Replica: it must not call the
	// Replica. It may be nil.
	Done func(protocol.ProduceResult)
}

// Answer tells whoever waits for the proposal what became of it.
func (p *Proposal) Answer(res protocol.ProduceResult) {
	switch {
	case p.Request != nil:
		p.Request.Reply.Put(res)
	case p.Done != nil:
		p.Done(res)
	}
}

func (p *Proposal) size() int {
	if p.Lines != nil {
		return len(p.Lines.Buf)
	}
	return len(p.control)
}

// producer is the id of the producer whose sequence the proposal has, "" if it
// has none.
func (p *Proposal) producer() string {
	if p.Request == nil {
		return ""
	}
	return p.Request.ProducerID
}

func failAll(ps []Proposal, err *protocol.Error) {
	for i := range ps {
		ps[i].Answer(protocol.ProduceResult{Err: err})
	}
}

// PendingEntry is one entry that this replica proposed, and who waits for it.
type PendingEntry struct {
	index, term uint64
	base        int64 // offset of the first record
	records     int
	bytes       int // sum of the proposals' sizes
	proposals   []Proposal
	retries     []*protocol.ProduceRequest // of requests in this entry, which waited for it
	retried     []protocol.ProduceResult   // their answers
	began       time.Time                  // when it was proposed
}

// Answer tells everyone in a committed entry where their records are. It must
// be called after the view that shows the records was published: whoever has
// an answer may go and read.
func (e *PendingEntry) Answer() {
	next := e.base
	for i := range e.proposals {
		p, base := &e.proposals[i], next
		if p.Lines != nil {
			next += int64(p.Lines.Len())
		}
		p.Answer(protocol.ProduceResult{BaseOffset: protocol.Offset(base)}) // whoever has an answer may use the lines again
	}
	for i := range e.retries {
		e.retries[i].Reply.Put(e.retried[i])
	}
}

// abandon tells everyone in the entry that its result is not known.
func (e *PendingEntry) abandon(unknown *protocol.Error) {
	failAll(e.proposals, unknown)
	for _, req := range e.retries {
		req.Reply.Put(protocol.ProduceResult{Err: unknown})
	}
}

// encode makes the Data of an entry, see entry.go. The requests of producers
// are noted as in flight, each with a "#p" line in front of the records.
func (l *leading) encode(e *PendingEntry, appendTime int64, known *producerTable) []byte {
	if c := e.proposals[0].control; c != nil {
		body := logfile.OpaqueBody(c)
		buf := append(make([]byte, entryHeaderSize, entryHeaderSize+len(body)), body...)
		return encodeEntry(buf, logfile.KindControl, e.base, 0, appendTime)
	}
	lines := e.bytes + e.records*decimalDigits(e.base+int64(e.records)) // offsets are added to them
	buf := mutate.Reused(make([]byte, entryHeaderSize, entryHeaderSize+lines))
	next := e.base
	for i := range e.proposals {
		if p := &e.proposals[i]; p.producer() != "" {
			buf = l.enterInFlight(p.Request, next, known.get(p.producer())).appendLine(buf)
		}
		next += int64(e.proposals[i].Lines.Len())
	}
	next = e.base
	for i := range e.proposals {
		buf = e.proposals[i].Lines.AppendNumbered(buf, protocol.Offset(next))
		next += int64(e.proposals[i].Lines.Len())
	}
	return encodeEntry(buf, logfile.KindRecords, e.base, e.records, appendTime)
}

func decimalDigits(n int64) int {
	d := 1
	for n >= 10 {
		n /= 10
		d++
	}
	return d
}
