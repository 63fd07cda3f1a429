package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is decided by hand, because it is on the way of every record, decides as the plain
// form does, whatever it is given.

// many is how many cases a property is tried on.
var many = &quick.Config{MaxCount: 3000}

// numberText is the text of a JSON number, often a special one.
type numberText string

// Generate implements quick.Generator.
func (numberText) Generate(r *rand.Rand, _ int) reflect.Value {
	digits := func(most int) string {
		n := 1 + r.Intn(most)
		b := make([]byte, n)
		for i := range b {
			b[i] = "00123456789"[r.Intn(11)]
		}
		return string(b)
	}
	text := ""
	if r.Intn(3) == 0 {
		text = "-"
	}
	switch r.Intn(4) {
	case 0:
		text += "0"
	case 1:
		text += []string{"9223372036854775807", "9223372036854775808", "999999999999999999", "1000000000000000000", "18446744073709551616"}[r.Intn(5)]
	default:
		text += strconv.Itoa(1+r.Intn(9)) + digits(25)
	}
	if r.Intn(2) == 0 {
		text += "." + digits(25)
	}
	if r.Intn(2) == 0 {
		text += string("eE"[r.Intn(2)]) + []string{"", "+", "-"}[r.Intn(3)] + strconv.Itoa(r.Intn(40))
	}
	return reflect.ValueOf(numberText(text))
}

// saturated is an integer as ParseInteger returns it.
func saturated(n *big.Int) (int64, bool) {
	if n.IsInt64() && n.Int64() != math.MinInt64 {
		return n.Int64(), true
	}
	return int64(n.Sign()) * math.MaxInt64, false
}

func TestWholeNumbersAreThoseOfTheirValue(t *testing.T) {
	require.NoError(t, quick.Check(func(text numberText) bool {
		n, fits, ok := ParseWhole([]byte(text))
		value, valid := new(big.Rat).SetString(string(text))
		if !valid || !json.Valid([]byte(text)) {
			t.Logf("%q is no number", text)
			return false
		}
		if !value.IsInt() {
			return !ok
		}
		want, wantFits := saturated(value.Num())
		return assert.True(t, ok, text) && assert.Equal(t, want, n, text) && assert.Equal(t, wantFits, fits, text)
	}, many))
	for _, text := range []string{"1e999999999999999999999", "-1e4294967297", "1e2147483648", "123456789012345678e9223372036854775807"} {
		n, fits, ok := ParseWhole([]byte(text))
		assert.True(t, ok, text)
		assert.False(t, fits, text)
		assert.EqualValues(t, int64(math.MaxInt64), max(n, -n), text)
	}
	for _, text := range []string{"0e999999999999999999999", "-0.000e-999999999999999999999", "0.0e5", "0E-0"} {
		n, fits, ok := ParseWhole([]byte(text))
		assert.Equal(t, []any{int64(0), true, true}, []any{n, fits, ok}, text)
	}
	for _, text := range []string{"1e-999999999999999999999", "0.1", "15e-1", "1000.5e0", "-1e-1"} {
		_, _, ok := ParseWhole([]byte(text))
		assert.False(t, ok, text)
	}
}

func TestIntegersAreThoseOfTheirValue(t *testing.T) {
	require.NoError(t, quick.Check(func(n int64, zeros, more uint8) bool {
		text := strconv.FormatInt(n, 10) + strings.Repeat("7", int(more%4))
		value, _ := new(big.Int).SetString(text, 10)
		want, wantFits := saturated(value)
		got, fits, ok := ParseInteger([]byte(text))
		_, _, padded := ParseInteger([]byte(strings.Repeat("0", 1+int(zeros%3)) + strings.TrimPrefix(text, "-")))
		return ok && got == want && fits == wantFits && !padded
	}, many))
}

// naiveDistance is the optimal string alignment of two texts by the whole table.
func naiveDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = 1 + min(d[i-1][j-1], d[i-1][j], d[i][j-1])
			}
			d[i][j] = min(d[i][j], d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

func TestDistancesAreThoseOfTheWholeTable(t *testing.T) {
	few := func(b []byte) string { // of few letters, so that they are close
		if len(b) > 12 {
			b = b[:12]
		}
		for i := range b {
			b[i] = 'a' + b[i]%3
		}
		return string(b)
	}
	require.NoError(t, quick.Check(func(x, y []byte, limit uint8) bool {
		a, b, most := few(x), few(y), int(limit%6)
		want := naiveDistance(a, b)
		got := EditDistance(a, b, most)
		if want <= most {
			return assert.Equal(t, want, got, "%q %q within %d", a, b, most)
		}
		return assert.Greater(t, got, most, "%q %q", a, b)
	}, many))
}

// grants is what a token may do, of few names, so that they match often.
type grants []Grant

// Generate implements quick.Generator.
func (grants) Generate(r *rand.Rand, _ int) reflect.Value {
	pattern := func() string {
		return []string{"", "", "a", "b", "a*", "*", "ab*", "__*", "__consumer_offsets"}[r.Intn(9)]
	}
	all := make(grants, 1+r.Intn(3))
	for i := range all {
		g := Grant{Topics: pattern(), Groups: pattern(), Cluster: []string{"", "one", "o*", "*"}[r.Intn(4)]}
		for _, right := range []string{"read", "write", "admin"} {
			if r.Intn(2) == 0 {
				g.Do = append(g.Do, right)
			}
		}
		all[i] = g
	}
	return reflect.ValueOf(all)
}

// fits is what a pattern means, as the documentation has it; "" as missing says.
func fits(pattern, missing, name string) bool {
	if pattern == "" {
		pattern = missing
	}
	if strings.HasSuffix(pattern, "*") {
		return strings.HasPrefix(name, pattern[:len(pattern)-1])
	}
	return pattern == name && pattern != ""
}

// A principal may do what one of its grants says in plain words, and nothing else.
func TestPrincipalsMayWhatTheirGrantsSay(t *testing.T) {
	names := []string{"a", "ab", "abc", "b", "__consumer_offsets", "__x"}
	require.NoError(t, quick.Check(func(all grants) bool {
		p := NewPrincipal("p", all, nil)
		namesGroups := slices.ContainsFunc(all, func(g Grant) bool { return g.Groups != "" })
		anyOf := func(do string, may func(g *Grant) bool) bool {
			return slices.ContainsFunc(all, func(g Grant) bool { return slices.Contains(g.Do, do) && may(&g) })
		}
		for _, do := range []string{"read", "write", "admin"} {
			right, _ := ParseRight(do)
			for _, cluster := range []string{"one", "two"} {
				within := func(g *Grant) bool { return fits(g.Cluster, "*", cluster) }
				whole := func(g *Grant) bool { return g.Topics == "" && g.Groups == "" }
				for _, name := range names {
					topic := anyOf(do, func(g *Grant) bool {
						inner := !strings.HasPrefix(name, "__") || whole(g) || strings.HasPrefix(g.Topics, "__")
						return within(g) && inner && (whole(g) || fits(g.Topics, "", name))
					})
					group := anyOf(do, func(g *Grant) bool {
						lent := g.Groups == "" && !namesGroups && do == "read" // a consumer needs a group
						return within(g) && (whole(g) || lent || fits(g.Groups, "", name))
					})
					if !assert.Equal(t, topic, p.Topic(right, cluster, name), "%s topic %s of %s: %+v", do, name, cluster, all) ||
						!assert.Equal(t, group, p.Group(right, cluster, name), "%s group %s of %s: %+v", do, name, cluster, all) {
						return false
					}
				}
				if !assert.Equal(t, anyOf(do, func(g *Grant) bool { return within(g) && whole(g) }), p.Cluster(right, cluster), "%+v", all) {
					return false
				}
			}
			each := p.Cluster(right, "any") && p.Topic(right, "any", "__x") && p.Group(right, "any", "g")
			if p.Everything(right) && !each {
				return assert.Fail(t, "everything is more than all", "%+v", all)
			}
		}
		return true
	}, &quick.Config{MaxCount: 1000}))
}

// Who stands for another may never do more, nor for longer.
func TestWhoStandsForAnotherMayNoMore(t *testing.T) {
	require.NoError(t, quick.Check(func(all grants, mine, until int32, timed bool) bool {
		var expires *time.Time
		if timed {
			at := time.Unix(int64(mine), 0)
			expires = &at
		}
		p := NewPrincipal("p", all, expires)
		q := p.As("q", time.Unix(int64(until), 0))
		for _, at := range []int64{math.MinInt32, int64(mine) - 1, int64(mine), int64(until) - 1, int64(until), math.MaxInt32} {
			now := time.Unix(at, 0)
			if p.Expired(now) && !q.Expired(now) || !now.Before(time.Unix(int64(until), 0)) && !q.Expired(now) {
				return false
			}
		}
		p.End()
		return q.Over(time.Unix(math.MinInt32, 0)) && q.Entry() == "p" && q.Name() == "q"
	}, many))
}

// Tokens: one for each content, and back; what is none is refused.
func TestTokensAreTheOnlyOnesOfTheirContent(t *testing.T) {
	require.NoError(t, quick.Check(func(b []byte, flip uint16, to byte) bool {
		token := AppendRawToken(nil, b)
		content, err := AppendTokenContent(nil, token)
		if err != nil || !bytes.Equal(content, b) || !utf8.Valid(token) || bytes.ContainsFunc(token, func(r rune) bool { return r < ' ' }) {
			return assert.Fail(t, "not the same", "%q: %q", b, token)
		}
		token[int(flip)%len(token)] = to // whatever this is now
		content, err = AppendTokenContent(nil, token)
		switch kind := KindOfToken(token); {
		case err != nil, kind == TokenNull:
			return true
		case kind == TokenBytes:
			return bytes.Equal(token, AppendBytesToken(nil, content))
		case kind == TokenJSON:
			return json.Valid(token) && bytes.Equal(token, content)
		}
		return bytes.Equal(content, must(AppendTokenContent(nil, AppendTextToken(nil, content))))
	}, many))
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// The bytes by which a key is placed are those that a Kafka client sends for it.
func TestKeysArePlacedByTheirContent(t *testing.T) {
	require.NoError(t, quick.Check(func(text string, raw []byte, n uint8) bool {
		text = strings.ToValidUTF8(text, "\ufffd")
		partitions := 1 + int(n)
		quoted, err := json.Marshal(text)
		if err != nil {
			return false
		}
		plain := PartitionForContent([]byte(text), partitions)
		for _, token := range [][]byte{quoted, AppendJSONString(nil, text), AppendTextToken(nil, text)} {
			if got := KeyContent(nil, token); string(got) != text {
				return assert.Equal(t, text, string(got), "%s", token)
			}
			if PartitionForKey(token, partitions) != plain {
				return false
			}
		}
		at := PartitionForContent(raw, partitions)
		return at >= 0 && at < partitions && PartitionForKey(AppendBytesToken(nil, raw), partitions) == at
	}, many))
}

// A list of headers is extended as one that is decoded, changed and encoded.
func TestHeadersAreExtendedAsLists(t *testing.T) {
	type header struct{ name, value string }
	require.NoError(t, quick.Check(func(names []string, values []string, more map[string]string) bool {
		var list [][2]string
		var want []header
		for i, name := range names {
			if i%3 == 0 {
				name = "ottla-" + name
			}
			name = strings.ToValidUTF8(name, "?")
			value := ""
			if i < len(values) {
				value = strings.ToValidUTF8(values[i], "?")
			}
			list = append(list, [2]string{name, value})
			if !strings.HasPrefix(name, "ottla-") {
				want = append(want, header{name, value})
			}
		}
		if list == nil {
			list = [][2]string{}
		}
		token := must(json.Marshal(list))
		before := bytes.Clone(token)
		var added [][2]string
		for name, value := range more {
			name, value = strings.ToValidUTF8(name, "?"), strings.ToValidUTF8(value, "?")
			added = append(added, [2]string{name, value})
			want = append(want, header{name, value})
		}
		var got [][2]string
		extended := ExtendHeaderList(token, "ottla-", added)
		if json.Unmarshal(extended, &got) != nil || !bytes.Equal(token, before) || len(got) != len(want) || !IsHeaderList(extended) {
			return assert.Fail(t, "not the list", "%s: %s", before, extended)
		}
		for i := range want {
			if want[i] != (header{got[i][0], got[i][1]}) {
				return assert.Fail(t, "not the same", "%s: %s", before, extended)
			}
		}
		return true
	}, &quick.Config{MaxCount: 500}))
}

// A bucket never gives more than flows in, and what it says of when to come again is so.
func TestBucketsGiveWhatFlowsIn(t *testing.T) {
	require.NoError(t, quick.Check(func(steps []uint16, rate uint8) bool {
		limit, now, began := 1+int64(rate), time.Unix(1_800_000_000, 0), time.Unix(1_800_000_000, 0)
		var b Bucket
		taken := int64(0)
		for _, s := range steps {
			now = now.Add(time.Duration(s%997) * time.Millisecond)
			n := int64(s) % (limit + 1)
			wait := b.Take(n, limit, time.Second, now)
			if wait == 0 {
				taken += n
			} else {
				early, again := Bucket{level: b.level, at: b.at}, Bucket{level: b.level, at: b.at}
				if wait > 2*time.Millisecond && early.Take(n, limit, time.Second, now.Add(wait-2*time.Millisecond)) == 0 {
					return assert.Fail(t, "it was there before")
				}
				if again.Take(n, limit, time.Second, now.Add(wait+time.Millisecond)) != 0 {
					return assert.Fail(t, "it is not there when it was to be")
				}
			}
			if most := float64(limit) * (now.Sub(began).Seconds() + 1); float64(taken) > most+1e-6 {
				return assert.Fail(t, "too much", "%d of %f", taken, most)
			}
		}
		return true
	}, &quick.Config{MaxCount: 500}))
}

// Notes of deliveries come back as they were, and what is none is an empty one.
func TestNotesComeBack(t *testing.T) {
	require.NoError(t, quick.Check(func(status uint16, why string, at, since int64, ends []int64, attempts int8) bool {
		n := DeliveryNote{Status: int(status), Error: strings.ToValidUTF8(why, "?"), At: at, FailingSince: since}
		for _, end := range ends {
			n.Units = append(n.Units, DeliveryUnit{End: Offset(end), Attempts: int(attempts)})
		}
		return assert.Equal(t, n, ParseDeliveryNote(n.String()))
	}, &quick.Config{MaxCount: 500}))
	for _, metadata := range []string{"", "x", "7", `"x"`, "[]", `{"status":"x"}`, `{"status":1,"units":7}`, `{"status":1,"units":[{}]}`, `{"status":1`, `{"status":1,"units":[["a",1]]}`} {
		assert.Zero(t, ParseDeliveryNote(metadata), metadata)
	}
}

// Numbers of partitions and times that stand in other texts come back, and are never taken
// out of what a client has sent.
func TestWhatStandsInOtherTextsComesBack(t *testing.T) {
	require.NoError(t, quick.Check(func(id string, n uint16, at int64) bool {
		ascii := strings.Map(func(r rune) rune {
			if r > 126 || r < 33 {
				return -1
			}
			return r
		}, id)
		first, later := Placement{Partitions: int(n), First: true}, Placement{Partitions: int(n)}
		action := AppendDelayed(nil, ActionProduce, at)
		wantAt := at
		if at == math.MinInt64 {
			wantAt = -math.MaxInt64
		}
		return first.ID(ascii) == ascii && PlacedBy(ascii) == 0 && ClientID(ascii) == ascii &&
			PlacedBy(later.ID(ascii)) == int(n) && ClientID(later.ID(ascii)) == ascii &&
			DeliverAt(action) == wantAt && DeliverAt([]byte(ActionProduce)) == 0
	}, many))
}

// The order of partitions is one: total, and the same both ways.
func TestPartitionsHaveOneOrder(t *testing.T) {
	require.NoError(t, quick.Check(func(topics []uint8, numbers []uint16) bool {
		var ids []PartitionID
		for i, topic := range topics {
			number := 0
			if i < len(numbers) {
				number = int(numbers[i])
			}
			ids = append(ids, PartitionID{TopicID: fmt.Sprint(topic % 4), Partition: number})
		}
		for _, a := range ids {
			for _, b := range ids {
				ab, ba := ComparePartitionIDs(a, b), ComparePartitionIDs(b, a)
				if (ab == 0) != (a == b) || (ab < 0) != (ba > 0) {
					return false
				}
			}
		}
		sorted := slices.SortedFunc(slices.Values(ids), ComparePartitionIDs)
		return slices.IsSortedFunc(sorted, func(a, b PartitionID) int {
			if a.TopicID != b.TopicID {
				return strings.Compare(a.TopicID, b.TopicID)
			}
			return a.Partition - b.Partition
		})
	}, &quick.Config{MaxCount: 200}))
}
