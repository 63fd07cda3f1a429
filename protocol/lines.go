package protocol

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"
)

// Actions of log lines.
const (
	ActionProduce   = "PRODUCE"
	ActionTombstone = "TOMBSTONE" // a record with a null value
)

// deliverAtMark separates the action of a record that is not to be given at once from
// its time, in milliseconds since 1970: PRODUCE@1795367763123.
const deliverAtMark = '@'

// AppendDelayed appends an action with the time at which a queue gives the record at
// the earliest, in milliseconds since 1970.
func AppendDelayed(dst []byte, action string, deliverAt int64) []byte {
	dst = append(dst, action...)
	return strconv.AppendInt(append(dst, deliverAtMark), deliverAt, 10)
}

// DeliverAt is the time in an action that AppendDelayed has made, 0 if there is none.
func DeliverAt(action []byte) int64 {
	_, text, found := bytes.Cut(action, []byte{deliverAtMark})
	if !found {
		return 0
	}
	at, _, ok := ParseInteger(text)
	if !ok {
		return 0
	}
	return at
}

// NullToken is the token of a missing key or value.
const NullToken = "-"

// Lines holds encoded records of one partition of one topic. Each is a complete line of the log
// except for its offset, which only the leader knows: the front end encodes the
// records, the leader inserts the offsets. Package logfile describes the lines.
type Lines struct {
	Buf  []byte
	Gaps []int // for each record, the place of its offset in Buf; ascending

	head   int   // bytes before the last gap that say when and where its record is; 0: not known
	headAt int64 // the record's timestamp
}

// Len is the number of records.
func (l *Lines) Len() int { return len(l.Gaps) }

// Add appends one record. Key, value and headers are log tokens (see Token),
// headers may be empty. Timestamp is in milliseconds since 1970.
func (l *Lines) Add(timestamp int64, topic string, partition int, key, value []byte, action string, headers []byte) {
	b := l.appendHead(timestamp, topic, partition)
	l.Gaps = append(l.Gaps, len(b))
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, ' ')
	b = append(b, value...)
	b = append(b, ' ')
	b = append(b, action...)
	if len(headers) > 0 {
		b = append(b, ' ')
		b = append(b, headers...)
	}
	l.Buf = append(b, '\n')
}

// appendHead appends what precedes the offset to the buffer: it is that of the last
// record if that has the same timestamp, as most of a request have.
func (l *Lines) appendHead(timestamp int64, topic string, partition int) []byte {
	b := l.Buf
	if n := len(l.Gaps); n > 0 && l.head > 0 && timestamp == l.headAt {
		gap := l.Gaps[n-1]
		return append(b, b[gap-l.head:gap]...)
	}
	b = AppendTimestamp(b, timestamp)
	b = append(b, ' ')
	b = append(b, topic...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(partition), 10)
	b = append(b, ' ')
	l.head, l.headAt = len(b)-len(l.Buf), timestamp
	return b
}

// AppendNumbered appends the complete lines to dst, the first record at
// offset base.
func (l *Lines) AppendNumbered(dst []byte, base Offset) []byte {
	prev := 0
	var digits decimal
	digits.set(int64(base))
	for _, gap := range l.Gaps {
		dst = append(dst, l.Buf[prev:gap]...)
		dst = append(dst, digits.text[digits.from:]...)
		digits.increment()
		prev = gap
	}
	return append(dst, l.Buf[prev:]...)
}

// decimal is a number from 0 to the greatest int64 as text, which is faster to count up
// than to make anew.
type decimal struct {
	text [20]byte
	from int // where the text begins
}

func (d *decimal) set(n int64) {
	var scratch [20]byte
	text := strconv.AppendInt(scratch[:0], n, 10)
	d.from = len(d.text) - len(text)
	copy(d.text[d.from:], text)
}

func (d *decimal) increment() {
	for i := len(d.text) - 1; ; i-- {
		if i < d.from {
			d.from, d.text[i] = i, '1'
			return
		}
		if d.text[i] != '9' {
			d.text[i]++
			return
		}
		d.text[i] = '0'
	}
}

// AppendTimestamp appends "2026-11-22 17:16:03.123", the UTC date and time of
// a timestamp in milliseconds since 1970, which may be up to the year 9999.
//
// Every record of every request has one, so it is fast: the date comes from the
// standard library once per day, the rest is arithmetic.
func AppendTimestamp(dst []byte, ms int64) []byte {
	const day = 24 * 60 * 60 * 1000
	number := ms / day
	if ms < 0 {
		return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02 15:04:05.000")
	}
	d := lastDate.Load()
	if d == nil || d.day != number {
		d = &date{day: number, text: time.UnixMilli(ms).UTC().Format("2006-01-02 ")}
		lastDate.Store(d)
	}
	dst = append(dst, d.text...)
	rest := int(ms - number*day)
	seconds := rest / 1000
	dst = appendTwo(dst, seconds/3600, ':')
	dst = appendTwo(dst, seconds/60%60, ':')
	dst = appendTwo(dst, seconds%60, '.')
	return append(dst, byte('0'+rest%1000/100), byte('0'+rest/10%10), byte('0'+rest%10))
}

func appendTwo(dst []byte, n int, end byte) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10), end)
}

// date is the text of a day, which is counted from 1970.
type date struct {
	day  int64
	text string
}

var lastDate atomic.Pointer[date]
