package front

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// cursorSink keeps copies of what it takes.
type cursorSink struct {
	reply    protocol.ReadingReply
	expected int
}

func (s *cursorSink) Expect(bytes int) { s.expected = bytes }

func (s *cursorSink) TakeAt(r *protocol.Record, cursor []byte) {
	rec := *r
	rec.Key, rec.Value, rec.Headers = append([]byte(nil), r.Key...), append([]byte(nil), r.Value...), append([]byte(nil), r.Headers...)
	s.reply.Records = append(s.reply.Records, rec)
	s.reply.Cursors = append(s.reply.Cursors, string(cursor))
}

// A sink takes the records that a reply would have had, with the same cursors.
func TestASinkOfAReadingTakesTheSame(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 3)
	for p, l := range leaders {
		for i := range 20 {
			l.append(fmt.Sprintf("%d", 100*p+i))
		}
	}
	place := func() string {
		r := w.read(nil)
		_, err := r.Next(protocol.ReadingLook{MaxRecords: 25, MaxBytes: 1 << 20})
		require.Nil(t, err)
		return r.Cursor()
	}()
	for name, change := range map[string]func(*protocol.ReadingRequest){
		"all":           nil,
		"from a cursor": func(r *protocol.ReadingRequest) { r.After = place },
		"one key":       func(r *protocol.ReadingRequest) { r.Key = []byte("k1") },
		"one partition": func(r *protocol.ReadingRequest) { r.Partition = ptr(2) },
	} {
		for _, upTo := range []string{"", place} {
			t.Run(fmt.Sprintf("%s up to %q", name, upTo), func(t *testing.T) {
				plain, sunk := w.read(change), w.read(change)
				for range 8 {
					look := protocol.ReadingLook{MaxRecords: 7, MaxBytes: 1 << 20, UpTo: upTo}
					want, err := plain.Next(look)
					require.Nil(t, err)
					var sink cursorSink
					look.Sink = &sink
					got, err := sunk.Next(look)
					require.Nil(t, err)
					assert.Empty(t, got.Records)
					assert.Equal(t, want.Count, len(want.Records))
					assert.Equal(t, want.Count, got.Count)
					assert.Equal(t, places(want.Records), places(sink.reply.Records))
					assert.Equal(t, want.Cursors, sink.reply.Cursors)
					assert.Equal(t, want.AtEnd, got.AtEnd)
					assert.Equal(t, plain.Cursor(), sunk.Cursor())
				}
			})
		}
	}
}

// A sink that makes room for what is expected does not make it for all that a look may bring:
// thousands of streams may be given a single record.
func TestASinkOfAReadingExpectsWhatComes(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("0")
	var sink cursorSink
	reply, err := w.read(nil).Next(protocol.ReadingLook{MaxRecords: 500, MaxBytes: 1 << 20, Sink: &sink})
	require.Nil(t, err)
	require.Equal(t, 1, reply.Count)
	rec := &sink.reply.Records[0]
	least := len(rec.Key) + len(rec.Value) + len(sink.reply.Cursors[0])
	assert.GreaterOrEqual(t, sink.expected, least)
	assert.Less(t, sink.expected, least+400)
}

// A cursor of which one position moves is the cursor of all positions.
func TestAMovedCursorIsTheWholeOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var moving, whole cursorWriter
	for round := range 300 {
		topic := &protocol.Topic{Name: "topic-of-any-length"[:1+round%19], ID: "0123456789"[:round%11], Partitions: 6}
		var at []readPosition
		for p := range topic.Partitions {
			switch rng.IntN(4) {
			case 0:
				at = append(at, readPosition{partition: p, offset: protocol.Offset(rng.Uint64N(1 << rng.IntN(50))), known: true})
			case 1:
				at = append(at, readPosition{partition: p, since: 1 + int64(rng.IntN(1<<40))})
			case 2:
				at = append(at, readPosition{partition: p}) // nothing is known of it
			}
		}
		at = append(at, readPosition{partition: 6, known: true})
		for i := range at {
			if !at[i].known {
				continue
			}
			moving.follow(topic, at, &at[i])
			for range 4 {
				at[i].offset += protocol.Offset(rng.Uint64N(1 << rng.IntN(30)))
				require.Equal(t, whole.encode(topic, at), string(moving.moved(at[i].offset)))
			}
		}
	}
}
