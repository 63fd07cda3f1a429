package logfile

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
)

// segmentHead is the first line of a segment: which replica it belongs to, and how
// the segment before it ended, so that a missing or shortened one is noticed.
//
//	#i 1 <cluster> <topic id> <topic> <partition> <broker> <replica> <boot> <prev base> <prev size> <prev max time> <crc>
type segmentHead struct {
	id       Identity
	boot     string
	prevBase int64 // base offset of the segment before, -1 if there was none
	prevSize int64
	prevMax  int64 // greatest record timestamp in the segment before
	lastAt   int64 // greatest append time in the segment before, for a first one that of the last entry; it stands in the checkpoint line below
}

func appendSegmentHead(dst []byte, h *segmentHead) []byte {
	start := len(dst)
	dst = append(dst, "#i 1"...)
	dst = appendQuote(dst, h.id.ClusterID)
	dst = appendQuote(dst, h.id.TopicID)
	dst = appendQuote(dst, h.id.Topic)
	dst = appendInt(dst, int64(h.id.Partition))
	dst = appendInt(dst, int64(h.id.Broker))
	dst = appendUint(dst, h.id.ReplicaID)
	dst = appendQuote(dst, h.boot)
	dst = appendInt(dst, h.prevBase)
	dst = appendInt(dst, h.prevSize)
	dst = appendInt(dst, h.prevMax)
	return appendLineSum(dst, start, 0)
}

func parseSegmentHead(line []byte) (*segmentHead, error) {
	text, err := checkLineSum(line, 0)
	if err != nil {
		return nil, err
	}
	text, ok := bytes.CutPrefix(text, []byte("#i "))
	if !ok {
		return nil, errors.New("the line is not the first one of a segment")
	}
	f := fields{rest: text}
	if v := f.uint(); v != formatVersion && f.err == nil {
		return nil, fmt.Errorf("segment of format version %d: %w", v, ErrNewerFormat)
	}
	h := &segmentHead{}
	h.id.ClusterID, h.id.TopicID, h.id.Topic = f.quoted(), f.quoted(), f.quoted()
	h.id.Partition, h.id.Broker, h.id.ReplicaID = int(f.int()), int(f.int()), f.uint()
	h.boot = f.quoted()
	h.prevBase, h.prevSize, h.prevMax = f.int(), f.int(), f.int()
	return h, f.end()
}

// appendCheckpoint appends a checkpoint line:
//
//	#c <index> <term> <hard term> <vote> <applied> <next offset> <log start> <append time> <terms> <conf state> <producers>[ <compaction>] <crc>
//
// Terms are index:term pairs joined by commas; conf state, producers and
// compaction are base64. "-" stands for none. Logs that were never compacted have
// no <compaction>.
func appendCheckpoint(dst []byte, cp *Checkpoint, appendTime int64, seed uint32) []byte {
	start := len(dst)
	dst = append(dst, "#c"...)
	for _, v := range [...]uint64{cp.Index, cp.Term, cp.HardTerm, cp.Vote, cp.Applied} {
		dst = appendUint(dst, v)
	}
	dst = appendInt(dst, cp.NextOffset)
	dst = appendInt(dst, cp.LogStart)
	dst = appendInt(dst, appendTime)
	dst = append(dst, ' ')
	for i, t := range cp.Terms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, t.Index, 10)
		dst = strconv.AppendUint(append(dst, ':'), t.Term, 10)
	}
	if len(cp.Terms) == 0 {
		dst = append(dst, '-')
	}
	dst = appendBlob(dst, cp.ConfState)
	dst = appendBlob(dst, cp.Producers)
	if len(cp.Compaction) > 0 {
		dst = appendBlob(dst, cp.Compaction)
	}
	return appendLineSum(dst, start, seed)
}

func parseCheckpoint(line []byte, seed uint32) (cp Checkpoint, appendTime int64, err error) {
	text, err := checkLineSum(line, seed)
	if err != nil {
		return cp, 0, err
	}
	text, ok := bytes.CutPrefix(text, []byte("#c "))
	if !ok {
		return cp, 0, errors.New("the line is no checkpoint")
	}
	f := fields{rest: text}
	for _, v := range [...]*uint64{&cp.Index, &cp.Term, &cp.HardTerm, &cp.Vote, &cp.Applied} {
		*v = f.uint()
	}
	cp.NextOffset, cp.LogStart, appendTime = f.int(), f.int(), f.int()
	cp.Terms = parseTerms(&f)
	cp.ConfState, cp.Producers = parseBlob(&f), parseBlob(&f)
	if f.err == nil && len(f.rest) > 0 {
		cp.Compaction = parseBlob(&f)
	}
	if f.err == nil && (cp.NextOffset < 0 || cp.LogStart < 0) {
		f.fail(errors.New("an offset in the checkpoint is negative"))
	}
	return cp, appendTime, f.end()
}

func parseTerms(f *fields) []TermStart {
	w := f.word()
	if string(w) == "-" || f.err != nil {
		return nil
	}
	terms := make([]TermStart, 0, bytes.Count(w, []byte{','})+1)
	for pair := range bytes.SplitSeq(w, []byte{','}) {
		i, t, _ := bytes.Cut(pair, []byte{':'})
		fi, ft := fields{rest: i}, fields{rest: t}
		terms = append(terms, TermStart{Index: fi.uint(), Term: ft.uint()})
		if err := errors.Join(fi.end(), ft.end()); err != nil {
			f.fail(err)
			return nil
		}
	}
	return terms
}

func appendBlob(dst, blob []byte) []byte {
	if len(blob) == 0 {
		return append(dst, " -"...)
	}
	return base64.StdEncoding.AppendEncode(append(dst, ' '), blob)
}

func parseBlob(f *fields) []byte {
	w := f.word()
	if string(w) == "-" || f.err != nil {
		return nil
	}
	blob, err := base64.StdEncoding.Strict().AppendDecode(nil, w)
	if err != nil {
		f.fail(fmt.Errorf("a field is not valid base64: %w", err))
	}
	return blob
}

// appendHardState appends raft's current term and vote:
//
//	#h <term> <vote> <crc>
func appendHardState(dst []byte, term, vote uint64, seed uint32) []byte {
	start := len(dst)
	dst = appendUint(appendUint(append(dst, "#h"...), term), vote)
	return appendLineSum(dst, start, seed)
}

func parseHardState(line []byte, seed uint32) (term, vote uint64, err error) {
	text, err := checkLineSum(line, seed)
	if err != nil {
		return 0, 0, err
	}
	if !bytes.HasPrefix(text, []byte("#h ")) {
		return 0, 0, errors.New("the line is no hard state")
	}
	f := fields{rest: text[3:]}
	term, vote = f.uint(), f.uint()
	return term, vote, f.end()
}

// appendSyncMark appends a sync mark: all entries up to index, and every line
// before this one, were on disk when it was written, under that boot of the
// machine.
//
//	#s <index> "<boot>" <crc>
func appendSyncMark(dst []byte, index uint64, boot string, seed uint32) []byte {
	start := len(dst)
	dst = appendQuote(appendUint(append(dst, "#s"...), index), boot)
	return appendLineSum(dst, start, seed)
}

func parseSyncMark(line []byte, seed uint32) (index uint64, boot string, err error) {
	text, err := checkLineSum(line, seed)
	if err != nil {
		return 0, "", err
	}
	if !bytes.HasPrefix(text, []byte("#s ")) {
		return 0, "", errors.New("the line is no sync mark")
	}
	f := fields{rest: text[3:]}
	index, boot = f.uint(), f.quoted()
	return index, boot, f.end()
}
