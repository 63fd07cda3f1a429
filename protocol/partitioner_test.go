package protocol

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The values are those of Kafka's UtilsTest.testMurmur2.
func TestMurmur2(t *testing.T) {
	for in, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		t.Run(in, func(t *testing.T) { assert.Equal(t, want, Murmur2([]byte(in))) })
	}
}

func TestPartitionForKey(t *testing.T) {
	place := func(key string) int { return int(uint32(Murmur2([]byte(key)))&0x7fffffff) % 1000 }
	for name, c := range map[string]struct{ token, hashed string }{
		"string by its content":    {`"user-42"`, "user-42"},
		"escapes are decoded":      {`"a\u0062\n"`, "ab\n"},
		"number by its text":       {`42`, "42"},
		"object by its text":       {`{"a":1}`, `{"a":1}`},
		"text":                     {`t"user-42"`, "user-42"},
		"text, escaped":            {`t"a\nb"`, "a\nb"},
		"bytes":                    {`b"/w=="`, "\xff"},
		"empty string":             {`""`, ""},
		"long content, then bytes": {`b"//79"`, "\xff\xfe\xfd"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, place(c.hashed), PartitionForKey([]byte(c.token), 1000))
		})
	}
	assert.Equal(t, 0, PartitionForKey([]byte(`"x"`), 1))
	assert.Zero(t, testing.AllocsPerRun(10, func() { PartitionForKey([]byte(`"a\nb"`), 3) }))
}

// A key has the same partition in every form: as a JSON string with or without
// escapes, as text, or as bytes of the same content.
func TestSpellingsOfAKeyShareAPartition(t *testing.T) {
	for _, spellings := range [][]string{
		{`"ab"`, `"a\u0062"`, `"\u0061\u0062"`, `t"ab"`, `b"YWI="`},
		{`"\n"`, `"\u000a"`, `t"\n"`, `b"Cg=="`},
		{`"\ud83d\ude00"`, `"😀"`, `t"😀"`, `b"8J+YgA=="`},
		{`42`, `t"42"`, `"42"`},
	} {
		for _, n := range []int{1, 2, 3, 7, 1024} {
			want := PartitionForKey([]byte(spellings[0]), n)
			for _, s := range spellings {
				assert.Equal(t, want, PartitionForKey([]byte(s), n), "%s of %d", s, n)
			}
		}
	}
}

// Keys spread: no partition differs from its share by more than half.
func TestKeysSpread(t *testing.T) {
	const keys, partitions = 60_000, 12
	var counts [partitions]int
	for i := range keys {
		p := PartitionForKey(strconv.AppendQuote(nil, "user-"+strconv.Itoa(i)), partitions)
		counts[p]++
	}
	for p, n := range counts {
		assert.InDelta(t, keys/partitions, n, keys/partitions/2, "partition %d", p)
	}
}
