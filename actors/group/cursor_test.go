package group

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func sampleCursor() *Cursor {
	return &Cursor{
		ClusterID: "c-1", Group: "readers", GroupCreated: 1795367763123, ConsumerID: 7, Generation: 3, Term: 12,
		Positions: []CursorPosition{{"t-1", 0, 42}, {"t-1", 5, 0}, {"t-2", 1023, 1 << 60}},
	}
}

func TestCursorRoundTrip(t *testing.T) {
	want := sampleCursor()
	token := EncodeCursor(want, nil)
	assert.Equal(t, token, strings.Trim(token, "+/= "), "URL-safe")
	got, err := DecodeCursor(token, nil)
	require.Nil(t, err)
	assert.Equal(t, want, got)

	want.Positions[0], want.Positions[2] = want.Positions[2], want.Positions[0]
	assert.Equal(t, token, EncodeCursor(want, nil), "the order of positions does not matter")
	empty, err := DecodeCursor(EncodeCursor(&Cursor{}, nil), nil)
	require.Nil(t, err)
	assert.Equal(t, &Cursor{}, empty)
}

func TestCursorOfThousandsOfPartitions(t *testing.T) {
	want := sampleCursor()
	want.Positions = nil
	for topic := range 5 {
		for p := range 1024 {
			want.Positions = append(want.Positions, CursorPosition{fmt.Sprintf("topic-%d", topic), p, protocol.Offset(p) << 20})
		}
	}
	token := EncodeCursor(want, nil)
	assert.Less(t, len(token), 64<<10)
	got, err := DecodeCursor(token, nil)
	require.Nil(t, err)
	assert.Equal(t, want, got)
}

func TestDamagedCursorsAreRefused(t *testing.T) {
	t.Run("with a checksum", func(t *testing.T) { refuseDamaged(t, nil) })
	t.Run("sealed", func(t *testing.T) { refuseDamaged(t, NewSeal(sampleCursor().ClusterID, []byte("key"))) })
}

// A cursor that another key has sealed, or none, is not the cluster's.
func TestForgedCursorsAreKnown(t *testing.T) {
	seal, other := NewSeal(sampleCursor().ClusterID, []byte("key")), NewSeal(sampleCursor().ClusterID, []byte("another key"))
	want := sampleCursor()
	got, err := DecodeCursor(EncodeCursor(want, seal), seal)
	require.Nil(t, err)
	assert.Equal(t, want, got)
	_, err = DecodeCursor(EncodeCursor(want, other), seal)
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeInvalidCursor, err.Code)
	_, err = DecodeCursor(EncodeCursor(want, NewSeal("elsewhere", []byte("x"))), NewSeal("elsewhere", []byte("y")))
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeForeignCursor, err.Code, "it names another cluster")
	_, err = DecodeCursor(EncodeCursor(want, seal), nil)
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeStarting, err.Code)
	got, err = DecodeCursor(EncodeCursor(want, nil), seal)
	require.Nil(t, err)
	assert.True(t, got.Unsealed)
}

func BenchmarkSealedCursor(b *testing.B) {
	c, seal := sampleCursor(), NewSeal(sampleCursor().ClusterID, []byte("key"))
	for b.Loop() {
		EncodeCursor(c, seal)
	}
}

func BenchmarkCursor(b *testing.B) {
	c := sampleCursor()
	for b.Loop() {
		EncodeCursor(c, nil)
	}
}

func refuseDamaged(t *testing.T, seal *Seal) {
	token := EncodeCursor(sampleCursor(), seal)
	refused := func(bad, what string) {
		c, err := DecodeCursor(bad, seal)
		require.NotNil(t, err, what)
		assert.Nil(t, c, what)
		if seal == nil {
			assert.Equal(t, protocol.CodeInvalidCursor, err.Code, what)
		} else { // where the name of the cluster is what is damaged, it is another's
			assert.Contains(t, []protocol.Code{protocol.CodeInvalidCursor, protocol.CodeForeignCursor}, err.Code, what)
		}
	}
	for i := range token {
		refused(token[:i], "cut short")
		for _, c := range []byte{'A', '_', '*'} {
			if token[i] != c {
				refused(token[:i]+string(c)+token[i+1:], "one character changed")
			}
		}
	}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if last := len(token) - 1; rune(token[last]) != c {
			refused(token[:last]+string(c), "last character changed")
		}
	}
	refused(token[:9]+"\n"+token[9:], "broken in two lines")
	refused(token+"A", "longer")
	body, err := cursorText.DecodeString(token)
	require.NoError(t, err)
	body = append(body[:len(body)-4], 0)
	refused(cursorText.EncodeToString(binary.BigEndian.AppendUint32(body, crc32.Checksum(body, cursorSums))), "something behind it")
	refused("", "empty")
	refused("0", "a number")
	refused(strings.Repeat("A", maxCursorBytes+1), "too long")
}

func FuzzDecodeCursor(f *testing.F) {
	f.Add(EncodeCursor(sampleCursor(), nil))
	f.Add(EncodeCursor(&Cursor{}, nil))
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := DecodeCursor(token, nil)
		if err != nil {
			return
		}
		again, err := DecodeCursor(EncodeCursor(c, nil), nil)
		require.Nil(t, err)
		assert.ElementsMatch(t, c.Positions, again.Positions)
	})
}

// FuzzCursorBody decodes bodies below a valid checksum, as one who forges cursors
// would make them.
func FuzzCursorBody(f *testing.F) {
	valid, _ := cursorText.DecodeString(EncodeCursor(sampleCursor(), nil))
	f.Add(valid[1 : len(valid)-4])
	f.Add([]byte{0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := cursorReader{b: body}
		c := r.cursor()
		assert.LessOrEqual(t, len(c.Positions), len(body)+1)
		if r.bad {
			return
		}
		for _, p := range c.Positions {
			assert.GreaterOrEqual(t, p.Partition, 0)
			assert.GreaterOrEqual(t, p.Offset, protocol.Offset(0))
		}
	})
}

func TestCursorAgainstItsGroup(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(7, "a:2")
	h.poll(9, "a:2")
	good := h.g.CursorFor("c-1", 9, 1, []PartitionOffset{{TopicID: "id-a", Partition: 1, Offset: 5}})
	require.Nil(t, h.g.CheckCursor(good, "c-1", 9))
	assert.Equal(t, []PartitionOffset{{Topic: "a", TopicID: "id-a", Partition: 1, Offset: 5}}, h.g.CursorOffsets(good))

	tests := []struct {
		name   string
		change func(c *Cursor)
		code   protocol.Code
	}{
		{"another cluster", func(c *Cursor) { c.ClusterID = "c-2" }, protocol.CodeForeignCursor},
		{"another group", func(c *Cursor) { c.Group = "others" }, protocol.CodeForeignCursor},
		{"a deleted group of this name", func(c *Cursor) { c.GroupCreated-- }, protocol.CodeForeignCursor},
		{"another consumer", func(c *Cursor) { c.ConsumerID = 7 }, protocol.CodeForeignCursor},
		{"an older generation", func(c *Cursor) { c.Generation-- }, protocol.CodeStaleGeneration},
		{"a partition of another", func(c *Cursor) { c.Positions[0].Partition = 0 }, protocol.CodeStaleGeneration},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := DecodeCursor(EncodeCursor(good, nil), nil)
			require.Nil(t, err)
			tt.change(c)
			err = h.g.CheckCursor(c, "c-1", 9)
			require.NotNil(t, err)
			assert.Equal(t, tt.code, err.Code)
		})
	}
	recs, err := h.g.DecideLeave(h.now, 9)
	require.Nil(t, err)
	h.do(recs)
	assert.Equal(t, protocol.CodeStaleGeneration, h.g.CheckCursor(good, "c-1", 9).Code)
}
