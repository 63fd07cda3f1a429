package protocol

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Bytes that come without a type are JSON only where that gives them back unchanged.
func TestCompactJSONOfBytes(t *testing.T) {
	for text, want := range map[string]bool{
		`1`: true, `-0.5e3`: true, `"a b"`: true, `{"a":[1,"x y"]}`: true, `true`: true, `[]`: true, `""`: true, `"null"`: true,
		`null`: false, ``: false, ` 1`: false, `1 `: false, "1\n": false, `{"a": 1}`: false, `[1, 2]`: false, `[ ]`: false, `{`: false, `1 2`: false, `nul`: false, `tru`: false, `01`: false, `"\ud800"`: false, `"\ud83d\ude00"`: true,
		"\"\xff\"": false,
		`[[[1]]]`:  true, `[[[[1]]]]`: false, `{"a":[{"b":[]}]}`: false,
		`12345`: true, `123456`: false, `1.2345`: true, `[1.23456]`: false, `1e1234`: true, `1e12345`: false,
	} {
		assert.Equal(t, want, IsCompactJSON([]byte(text), 3, 5), "%s", text)
	}
}

func TestNamesAtTheirBounds(t *testing.T) {
	for name, want := range map[string]bool{
		strings.Repeat("a", MaxNameLength): true, strings.Repeat("a", MaxNameLength+1): false, "": false, ".": false, "..": false, "...": true, "-": true, "_": true,
		"az.AZ_09-": true, "a b": false, "a/b": false, "ä": false, "a\x00": false, "a:b": false, "a@": false, "`": false, "{": false, "[": false, "^": false,
	} {
		assert.Equal(t, want, ValidName(name), "%.20q", name)
	}
	for name, want := range map[string]bool{"__": true, "__x": true, "_x": false, "_": false, "": false, "x__": false} {
		assert.Equal(t, want, IsInternalTopic(name), name)
	}
	for id, want := range map[string]bool{"kafka:7": true, "kafka:": true, "kafka": false, "Kafka:7": false, "key:kafka:7": false} {
		assert.Equal(t, want, IsKafkaProducer(id), id)
	}
	a, b := NewID(), NewID()
	assert.Regexp(t, "^[0-9a-f]{16}$", a)
	assert.NotEqual(t, a, b)
}

func TestDelayedActions(t *testing.T) {
	for _, at := range []int64{1, 1795367763123, 253402300799999} {
		action := AppendDelayed([]byte("x "), ActionProduce, at)
		assert.Equal(t, fmt.Sprintf("x PRODUCE@%d", at), string(action))
		assert.Equal(t, at, DeliverAt(action))
	}
	for _, none := range []string{"", ActionProduce, ActionTombstone, "PRODUCE@", "PRODUCE@x", "PRODUCE@1x"} {
		assert.Zero(t, DeliverAt([]byte(none)), none)
	}
}

// What a key is placed and compared by is its content, in whichever form it is written.
func TestContentOfKeys(t *testing.T) {
	for token, want := range map[string]string{
		`"user-42"`: "user-42", `t"user-42"`: "user-42", `b"dXNlci00Mg=="`: "user-42", `42`: "42", `{"a":"b"}`: `{"a":"b"}`, `"a\"b\n"`: "a\"b\n", `t"a\u0000b"`: "a\x00b",
		`""`: "", `t""`: "", `b""`: "", `"`: `"`, `"ü"`: "ü", `b"//8="`: "\xff\xff",
	} {
		assert.Equal(t, want, string(KeyContent(nil, []byte(token))), token)
		assert.Equal(t, PartitionForContent([]byte(want), 7), PartitionForKey([]byte(token), 7), token)
	}
}

func TestReasonsOfSyntaxErrors(t *testing.T) {
	deep := strings.Repeat("[", MaxJSONDepth) + strings.Repeat("]", MaxJSONDepth)
	_, err := AppendCompactJSON(nil, []byte(deep))
	require.NoError(t, err)
	_, err = AppendCompactJSON(nil, []byte("["+deep+"]"))
	var syntax *SyntaxError
	require.ErrorAs(t, err, &syntax)
	assert.True(t, syntax.TooDeep())
	for text, want := range map[string]string{
		`{"a"1}`: "expected ':' at byte 4", `{"a":1,}`: "expected a field name at byte 7", `{1}`: "expected a field name at byte 1", `{"a":1]`: "expected ',' or '}' at byte 6",
		`[1}`: "expected ',' or ']' at byte 2", `[1`: "unexpected end at byte 2", ``: "unexpected end at byte 0", `"a`: "unexpected end at byte 2", `-`: "unexpected end at byte 1",
		`-x`: "expected a digit at byte 1", `1.`: "unexpected end at byte 2", `1.x`: "expected a digit at byte 2", `1e+`: "unexpected end at byte 3", `1ex`: "expected a digit at byte 2",
		`"\q"`: "invalid escape at byte 1", `"\u12g4"`: "invalid escape at byte 1", "\"\n\"": "control character in a string at byte 1", "\"\xc3(\"": "invalid UTF-8 at byte 1",
		`nulL`: "expected a value at byte 0", `fals`: "expected a value at byte 0", `x`: "expected a value at byte 0", `{"a`: "unexpected end at byte 3",
	} {
		_, err := AppendCompactJSON(nil, []byte(text))
		require.ErrorAs(t, err, &syntax, text)
		assert.Equal(t, want, err.Error(), text)
		assert.False(t, syntax.TooDeep(), text)
	}
}

// A secret is never printed, however it is asked for, and is what its scheme makes of it.
func TestSecretsOfSources(t *testing.T) {
	s := Secret("geheim")
	text, err := json.Marshal(map[string]any{"a": s, "b": SourceSpec{Secret: s}})
	require.NoError(t, err)
	k := &ScramKeys{Salt: []byte("geheim"), SHA256: ScramPair{Stored: []byte("geheim")}}
	keys, err := json.Marshal(k)
	require.NoError(t, err)
	assert.Equal(t, `"left out"`, string(keys))
	assert.NotContains(t, string(text)+fmt.Sprintf("%s %v %+v %#v %#v %s %v", s, s, SourceSpec{Secret: s}, s, k, k, k), "geheim")
	for _, c := range []struct {
		secret string
		scheme Scheme
		key    string
		ok     bool
	}{
		{"abc", SchemeGitHub, "abc", true},
		{"", SchemeGitHub, "", false},
		{"whsec_YWJj", SchemeStandard, "abc", true},
		{"YWJj", SchemeStandard, "abc", true},
		{"whsec_", SchemeStandard, "", false},
		{"", SchemeStandard, "", false},
		{"whsec_abc", SchemeStandard, "", false},
		{"whsec_YWJj", SchemeHMAC, "whsec_YWJj", true},
		{strings.Repeat("a", MaxSecretBytes), SchemeStripe, strings.Repeat("a", MaxSecretBytes), true},
		{strings.Repeat("a", MaxSecretBytes+1), SchemeStripe, "", false},
		{strings.Repeat("YWJj", MaxSecretBytes/4), SchemeStandard, strings.Repeat("abc", MaxSecretBytes/4), true},
		{strings.Repeat("YWJj", MaxSecretBytes/4+1), SchemeStandard, "", false},
	} {
		key, ok := Secret(c.secret).Key(c.scheme)
		assert.Equal(t, c.ok, ok, "%s %.20s", c.scheme, c.secret)
		if ok {
			assert.Equal(t, c.key, string(key))
		}
	}
}

// The note of deliveries goes through the metadata of a commit unchanged; what somebody
// else has committed is none.
func TestNotesOfDeliveries(t *testing.T) {
	for _, n := range []DeliveryNote{
		{},
		{Status: 503, Error: "busy", At: 1795367763123, FailingSince: 1795367760000, Units: []DeliveryUnit{{End: 7, Attempts: 2}, {End: 9, Attempts: Delivered}}},
	} {
		assert.Equal(t, n, ParseDeliveryNote(n.String()))
	}
	assert.Equal(t, `{}`, DeliveryNote{}.String())
	assert.Equal(t, `{"status":200,"units":[[7,2],[9,-1]]}`, DeliveryNote{Status: 200, Units: []DeliveryUnit{{7, 2}, {9, Delivered}}}.String())
	for _, other := range []string{"", "x", `{"status":"200"}`, `[]`, `{"units":[{}]}`, `{"units":[["a",1]]}`, `{"status":7,"units":7}`} {
		assert.Equal(t, DeliveryNote{}, ParseDeliveryNote(other), other)
	}
	s := &SubscriptionSpec{Name: "shop"}
	assert.Equal(t, "subscription-shop", s.DefaultGroup())
	assert.Equal(t, "orders.dead", s.DeadLetterTopic("orders"))
	s.DeadLetter = "lost"
	assert.Equal(t, "lost", s.DeadLetterTopic("orders"))
}

func TestErrorsCarryWhatTheySay(t *testing.T) {
	err := Errorf(CodeTopicNotFound, "topic %q does not exist", "t")
	assert.Equal(t, `topic_not_found: topic "t" does not exist`, err.Error())
	assert.Equal(t, 404, CodeTopicNotFound.Status())
	with := err.With("topic", "t")
	again := with.With("cluster", "c")
	assert.Nil(t, err.Details, "the error without is as it was")
	assert.Equal(t, map[string]any{"topic": "t"}, with.Details)
	assert.Equal(t, map[string]any{"topic": "t", "cluster": "c"}, again.Details)
	assert.Equal(t, OutcomeUnknown, Unknownf("nobody has answered").Outcome)
	assert.Equal(t, CodeOutcomeUnknown, Unknownf("nobody has answered").Code)
	assert.Equal(t, OutcomeUnknown, err.WithOutcome(OutcomeUnknown).Outcome)
	assert.NotEqual(t, OutcomeUnknown, err.Outcome)
	assert.ErrorIs(t, again, err)
	assert.NotErrorIs(t, error(again), error(Errorf(CodeGroupNotFound, "no")))
}

// What a request turned out to have when it was decompressed is waited for by the next one.
func TestBytesThatWereNotKnownBefore(t *testing.T) {
	now := time.Unix(1000, 0)
	u := NewUsage(TokenQuota{ProduceBytes: 100})
	require.Nil(t, u.Produce(10, now))
	u.Produced(290, now)
	err := u.Produce(1, now)
	require.NotNil(t, err)
	assert.Equal(t, CodeQuotaExceeded, err.Code)
	assert.Equal(t, "produce_bytes_per_s", err.Details["quota"])
	assert.InDelta(t, 2.01, err.RetryAfter.Seconds(), 0.001)
	assert.Nil(t, u.Produce(1, now.Add(err.RetryAfter+time.Millisecond)))
	var nobody *Usage
	nobody.Produced(1<<30, now)
	assert.Nil(t, nobody.Produce(1<<30, now))
	none := NewUsage(TokenQuota{})
	none.Produced(1<<30, now)
	none.SetQuota(TokenQuota{ProduceBytes: 5})
	assert.Nil(t, none.Produce(5, now), "what was not counted is no debt")
}
