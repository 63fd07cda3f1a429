package group

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// TestGroupScripts runs the scenarios in testdata, one group each. The
// commands, with ids of consumers as c=, generations as gen=, times in ms:
//
//	poll c= topics=a:3,b:2 [session=] [wait=]   print the assignment
//	start c= gen= at=a/0=5                       where the group starts
//	commit c= [gen=] [at=] [force]               without at: the position
//	auto-commit c= gen= at= [poll=]
//	delivered c= gen= at=                        positions after a response
//	heartbeat c= [gen=] [session=]               print the lease and the assignment
//	advance ms=                                  expiry timers fire on the way
//	leave c=, seek at=, delete, topic-deleted topic=, failover, describe
//
// Every command prints the records it makes, then its answer or error.
func TestGroupScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		h := newGroupHarness(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s := script{h: h, d: d}
			s.run()
			return s.out.String()
		})
	})
}

// script runs one command.
type script struct {
	h   *groupHarness
	d   *datadriven.TestData
	out strings.Builder
}

func (s *script) run() {
	commands := map[string]func(){
		"poll": s.poll, "start": s.start, "commit": s.commit, "auto-commit": s.autoCommit, "delivered": s.delivered,
		"advance": s.advance, "leave": s.leave, "seek": s.seek, "delete": s.delete,
		"topic-deleted": s.topicDeleted, "failover": s.failover, "describe": s.describe, "heartbeat": s.heartbeat,
	}
	command, ok := commands[s.d.Cmd]
	require.True(s.h.t, ok, "%s: no command %q", s.d.Pos, s.d.Cmd)
	command()
	if s.out.Len() == 0 {
		s.out.WriteString("ok\n")
	}
}

// arg is an optional argument of the command.
func (s *script) arg(name string) (string, bool) {
	for _, a := range s.d.CmdArgs {
		if a.Key == name {
			return strings.Join(a.Vals, ","), true
		}
	}
	return "", false
}

func (s *script) number(name string, otherwise int64) int64 {
	text, ok := s.arg(name)
	if !ok {
		return otherwise
	}
	var n int64
	_, err := fmt.Sscan(text, &n)
	require.NoError(s.h.t, err, s.d.Pos)
	return n
}

func (s *script) consumer() protocol.ConsumerID { return protocol.ConsumerID(s.number("c", 0)) }

func (s *script) offsets() []PartitionOffset {
	text, ok := s.arg("at")
	if !ok {
		return nil
	}
	return parseOffsets(s.h.t, text)
}

// finish applies and prints records, or prints the error.
func (s *script) finish(recs []metarecord.Record, err *protocol.Error) bool {
	if err != nil {
		require.Empty(s.h.t, recs, "%s: an error with records", s.d.Pos)
		fmt.Fprintf(&s.out, "%d %s\n", err.Code.Status(), err.Code.Name)
		return false
	}
	s.h.do(recs)
	for _, rec := range recs {
		_, args, _ := metarecord.SplitKey(rec.Key)
		switch {
		case len(args) == 1 && rec.Value != nil:
			text := fmt.Sprintf("%s generation=%d %s", rec.Action, s.h.g.Generation(), s.shares())
			s.out.WriteString(strings.TrimSpace(text) + "\n")
		case len(args) == 1:
			fmt.Fprintln(&s.out, rec.Action)
		case rec.Value != nil:
			var v offsetValue
			require.NoError(s.h.t, metarecord.Decode(rec.Value, &v))
			fmt.Fprintf(&s.out, "%s %s/%s=%d\n", rec.Action, v.Topic, args[2], v.Offset)
		default:
			fmt.Fprintf(&s.out, "%s %s/%s\n", rec.Action, strings.TrimPrefix(args[1], "id-"), args[2])
		}
	}
	return true
}

// shares lists who owns what.
func (s *script) shares() string {
	var shares []string
	for _, id := range memberIDs(s.h.g) {
		shares = append(shares, fmt.Sprintf("%d:%s", id, assignedText(s.h.g.assigned(s.h.g.now, id), false)))
	}
	return strings.Join(shares, " ")
}

func assignedText(list []AssignedPartition, offsets bool) string {
	var parts []string
	for _, a := range list {
		text := fmt.Sprintf("%s/%d", a.Topic, a.Partition)
		if offsets && a.Committed != nil {
			text += fmt.Sprintf("=%d", *a.Committed)
		} else if offsets {
			text += "=?"
		}
		parts = append(parts, text)
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func (s *script) poll() {
	topics, _ := s.arg("topics")
	d, err := s.h.g.DecidePoll(s.h.now, s.consumer(), parseTopics(s.h.t, topics), s.number("session", 10_000))
	if s.finish(d.Records, err) {
		s.h.g.Polled(s.h.now, s.consumer(), s.number("wait", 0))
		fmt.Fprintf(&s.out, "generation=%d %s\n", d.Generation, assignedText(d.Assigned, true))
	}
}

func (s *script) start() {
	committed, recs, err := s.h.g.DecideStart(s.h.now, s.consumer(), protocol.Generation(s.number("gen", 0)), s.offsets())
	if s.finish(recs, err) {
		for _, o := range committed {
			fmt.Fprintf(&s.out, "starts at %s/%d=%d\n", o.Topic, o.Partition, o.Offset)
		}
	}
}

func (s *script) heartbeat() {
	var generation *protocol.Generation
	if _, ok := s.arg("gen"); ok {
		generation = ptr(protocol.Generation(s.number("gen", 0)))
	}
	d, err := s.h.g.DecideHeartbeat(s.h.now, s.consumer(), generation, s.number("session", 0))
	if s.finish(d.Records, err) {
		s.h.g.ExtendLease(s.h.now, s.consumer())
		require.Equal(s.h.t, s.h.now+d.LeaseMs, s.h.g.leases.At(s.consumer()), s.d.Pos)
		fmt.Fprintf(&s.out, "generation=%d lease=%d %v\n", d.Generation, d.LeaseMs, d.Assignment)
	}
}

func (s *script) commit() {
	var generation *protocol.Generation
	if _, ok := s.arg("gen"); ok {
		generation = ptr(protocol.Generation(s.number("gen", 0)))
	}
	offsets := s.offsets()
	if offsets == nil {
		position, moved, err := s.h.g.Position(s.consumer(), "")
		if err != nil {
			s.finish(nil, err)
			return
		}
		for _, o := range moved {
			fmt.Fprintf(&s.out, "moved %s/%d=%d\n", o.Topic, o.Partition, o.Offset)
		}
		offsets = position
	}
	_, force := s.arg("force")
	if s.finish(s.h.g.DecideCommit(s.h.now, s.consumer(), generation, offsets, force)) {
		s.h.g.RenewLease(s.h.now, s.consumer())
	}
}

func (s *script) autoCommit() {
	s.finish(s.h.g.DecideAutoCommit(s.h.now, s.consumer(), protocol.Generation(s.number("gen", 0)), s.offsets(), uint64(s.number("poll", 0))))
}

func (s *script) delivered() {
	if !s.h.g.Delivered(s.consumer(), protocol.Generation(s.number("gen", 0)), s.offsets()) {
		s.out.WriteString("refused\n")
	}
}

func (s *script) advance() {
	end := s.h.now + s.number("ms", 0)
	for at := s.h.g.NextExpiry(s.h.now); at != 0 && at <= end; at = s.h.g.NextExpiry(s.h.now) {
		s.h.now = at
		s.finish(s.h.g.Expire(s.h.now), nil)
	}
	s.h.now = end
}

func (s *script) leave() { s.finish(s.h.g.DecideLeave(s.h.now, s.consumer())) }

func (s *script) seek() { s.finish(s.h.g.DecideSeek(s.h.now, s.offsets(), false)) }

func (s *script) delete() { s.finish(s.h.g.DecideDelete(s.h.now)) }

func (s *script) topicDeleted() {
	topic, _ := s.arg("topic")
	s.finish(s.h.g.DecideTopicDeleted(s.h.now, "id-"+topic), nil)
}

func (s *script) failover() { s.h.failover() }

func (s *script) describe() {
	info := s.h.g.Describe(s.h.now)
	fmt.Fprintf(&s.out, "%s generation=%d\n", info.State, info.Generation)
	for _, m := range info.Members {
		fmt.Fprintf(&s.out, "%d lease=%d topics=%s\n", m.ConsumerID, m.LeaseExpiresAt.UnixMilli()-s.h.now, strings.Join(m.Topics, ","))
	}
	for _, m := range info.LapsedMembers {
		fmt.Fprintf(&s.out, "%d lapsed=%d topics=%s\n", m.ConsumerID, s.h.now-m.LeaseExpiresAt.UnixMilli(), strings.Join(m.Topics, ","))
	}
	for _, o := range s.h.g.CommittedList() {
		fmt.Fprintf(&s.out, "committed %s/%d=%d\n", o.Topic, o.Partition, o.Offset)
	}
}
