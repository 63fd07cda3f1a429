package group

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// offsetRecordTexts are what names and metadata may be.
var offsetRecordTexts = []string{
	"", "g1", "a.b-c_d", `quo"te`, `back\slash`, "new\nline", "tab\t", "\x00\x1f\x7f", "<html>&", "ä€𝄞", "\u2028\u2029", "bro\xffken",
	strings.Repeat("x", maxCommitMetadata),
}

// A commit is written byte for byte as encoding/json writes it, and read back
// the same.
func TestOffsetRecordIsTheJSONThatItWas(t *testing.T) {
	for _, text := range offsetRecordTexts {
		for _, number := range []int64{0, 1, 10, 1<<53 - 1, 999_999_999_999_999_999, 1_000_000_000_000_000_000, math.MaxInt64} {
			v := committedOffset{Offset: protocol.Offset(number), Metadata: text, Topic: text, At: number, Poll: uint64(number)}
			got := appendOffsetValue(nil, &v)
			require.Equal(t, string(metarecord.JSON(offsetValue{metarecord.Format, v})), string(got))
			checkOffsetValue(t, got)

			key := protocol.PartitionID{TopicID: text, Partition: int(number)}
			require.Equal(t, string(metarecord.Key(keyOffset, text, key.TopicID, key.Partition)), string(offsetKeyOf(text, key)))
			checkOffsetKey(t, offsetKeyOf(text, key))
		}
	}
}

// Commits as they are made are read without encoding/json.
func TestOffsetRecordIsReadPlainly(t *testing.T) {
	v, ok := plainOffset([]byte(`{"v":1,"offset":7,"metadata":"m","topic":"liked","at":1763830000000}`))
	require.True(t, ok)
	assert.Equal(t, committedOffset{Offset: 7, Metadata: "m", Topic: "liked", At: 1763830000000}, v.committed(committedOffset{}))
	v, ok = plainOffset([]byte(`{"v":1,"offset":7,"topic":"liked","at":1}`))
	require.True(t, ok)
	assert.Equal(t, committedOffset{Offset: 7, Topic: "liked", At: 1}, v.committed(committedOffset{Offset: 6, Metadata: "old", Topic: "liked"}))
	v, ok = plainOffset([]byte(`{"v":1,"offset":7,"topic":"liked","at":1,"poll":9007199254740991}`))
	require.True(t, ok)
	assert.Equal(t, committedOffset{Offset: 7, Topic: "liked", At: 1, Poll: 1<<53 - 1}, v.committed(committedOffset{Poll: 4}))
	group, id, n, ok := plainOffsetKey([]byte(`["o","g1","0af3",12]`))
	require.True(t, ok)
	assert.Equal(t, []string{"g1", "0af3", "12"}, []string{string(group), string(id), string(n)})
}

// What is not plain is left to encoding/json, which decides whether it is valid.
func TestOffsetRecordLeavesOtherJSON(t *testing.T) {
	for _, value := range []string{
		``, `{}`, `null`, `{"v":2,"offset":7,"topic":"a","at":1}`, `{"v":1,"offset":07,"topic":"a","at":1}`,
		`{"v":1,"offset":-7,"topic":"a","at":1}`, `{"v":1,"offset":7.0,"topic":"a","at":1}`, `{"v":1,"offset":7,"topic":"a","at":1} `,
		`{"v":1,"offset":7,"topic":"a","at":1}{}`, `{"v":1,"offset":,"topic":"a","at":1}`, `{"v":1,"offset":7,"topic":"a\n","at":1}`,
		`{"v":1,"offset":7,"topic":"a","at":1,"poll":}`, `{"v":1,"offset":7,"topic":"a","at":1,"poll":-1}`, `{"v":1,"offset":7,"topic":"a","poll":1,"at":1}`,
		`{"v":1,"offset":7,"topic":"a"`, `{"v":1,"offset":7,"topic":"a","at":1,"more":2}`, `{"v":1,"offset":7,"topic":"a","at":`,
		`{"v":1,"topic":"a","offset":7,"at":1}`, `{"v":1,"offset":7,"metadata":"`, `{"v":1,"offset":9223372036854775808,"topic":"a","at":1}`,
	} {
		_, ok := plainOffset([]byte(value))
		assert.False(t, ok, value)
	}
	for _, key := range []string{
		``, `[]`, `["g","g1"]`, `["o","g1","a"]`, `["o","g1","a",1,2]`, `["o","g1","a",01]`, `["o","g1","a",-1]`, `["o","g\"1","a",1]`,
		`["o","g1","a",1`, `["o","g1","a","1"]`, ` ["o","g1","a",1]`,
	} {
		_, _, _, ok := plainOffsetKey([]byte(key))
		assert.False(t, ok, key)
	}
}

// FuzzOffsetRecord: what the plain reader accepts, encoding/json reads the same.
func FuzzOffsetRecord(f *testing.F) {
	for _, text := range offsetRecordTexts[:12] {
		f.Add(appendOffsetValue(nil, &committedOffset{Offset: 7, Metadata: text, Topic: text, At: 8, Poll: 9}), offsetKeyOf(text, protocol.PartitionID{TopicID: text, Partition: 3}))
	}
	f.Fuzz(func(t *testing.T, value, key []byte) {
		checkOffsetValue(t, value)
		checkOffsetKey(t, key)
	})
}

func checkOffsetValue(t *testing.T, value []byte) {
	t.Helper()
	plain, ok := plainOffset(value)
	if !ok {
		return
	}
	var want offsetValue
	require.NoError(t, metarecord.Decode(value, &want))
	require.Equal(t, want.committedOffset, plain.committed(committedOffset{}))
	require.Equal(t, want.committedOffset, plain.committed(committedOffset{Offset: 1, Metadata: "m", Topic: "t", At: 2, Poll: 3}))
}

func checkOffsetKey(t *testing.T, key []byte) {
	t.Helper()
	group, topicID, partition, ok := plainOffsetKey(key)
	if !ok {
		return
	}
	require.True(t, json.Valid(key))
	kind, args, err := metarecord.SplitKey(key)
	require.NoError(t, err)
	require.Equal(t, keyOffset, kind)
	require.Equal(t, []string{string(group), string(topicID), string(partition)}, args)
}

// BenchmarkGroupPollAndCommit measures what a group does all the time: a poll that
// changes nothing, and a commit. They should leave little garbage.
func BenchmarkGroupPollAndCommit(b *testing.B) {
	g := New("g1")
	topics := []SubscribedTopic{{Name: "liked", ID: "00112233445566778899aabbccddeeff", Partitions: 1}}
	d, err := g.DecidePoll(1, 7, topics, 1000)
	if err != nil || g.Apply(d.Records[0]) != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	at := []PartitionOffset{{Topic: "liked", TopicID: topics[0].ID}}
	for b.Loop() {
		d, err := g.DecidePoll(1, 7, topics, 1000)
		if err != nil || len(d.Records) > 0 {
			b.Fatal(err, d.Records)
		}
		at[0].Offset++
		recs, err := g.DecideAutoCommit(1, 7, d.Generation, at, 1<<53-1)
		if err != nil || len(recs) != 1 || g.Apply(recs[0]) != nil {
			b.Fatal(err, recs)
		}
	}
}
