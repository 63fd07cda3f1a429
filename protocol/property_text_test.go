package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/quick"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Times are written as the standard library writes them, from many goroutines at once,
// whose days are different ones.
func TestTimesAreWrittenAsByTheLibrary(t *testing.T) {
	const layout = "2006-01-02 15:04:05.000"
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC).UnixMilli()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewSource(int64(g))) // the same cases each time
			for range 5000 {
				ms := r.Int63n(last + 1)
				switch r.Intn(4) {
				case 0:
					ms = ms / 86_400_000 * 86_400_000 // midnight
				case 1:
					ms = ms/86_400_000*86_400_000 - 1 // just before it; of the first day, before 1970
				}
				want := time.UnixMilli(ms).UTC().Format(layout)
				if got := string(AppendTimestamp([]byte("x"), ms)); !assert.Equal(t, "x"+want, got, ms) {
					return
				}
			}
		})
	}
	wg.Wait()
	assert.Equal(t, "9999-12-31 23:59:59.999", string(AppendTimestamp(nil, last)))
}

// What a strings's JSON is read as is the string, and nothing in it ends a line.
func TestStringsComeBack(t *testing.T) {
	require.NoError(t, quick.Check(func(text string, insert uint8) bool {
		text = strings.ToValidUTF8(text, "") + []string{"\n", "\r", "\x00", "\u2028", "\u0085", "\u2029", "\x7f", "\"\\/", "\U0001f600", "\ufffd", "é"}[insert%11]
		quoted := AppendJSONString([]byte("x"), text)[1:]
		var back string
		if json.Unmarshal(quoted, &back) != nil || back != text {
			return assert.Fail(t, "not the same", "%q: %s", text, quoted)
		}
		if bytes.ContainsFunc(quoted, func(r rune) bool { return r < ' ' }) {
			return assert.Fail(t, "a control character", "%q", quoted)
		}
		plain, whole := AppendUnescaped([]byte("y"), quoted[1:len(quoted)-1])
		if !whole || string(plain) != "y"+text {
			return assert.Fail(t, "not unescaped", "%q: %q", quoted, plain)
		}
		kept := append([]byte("\u2028"), quoted...) // what is before from is left as it is
		ends := EscapeLineEnds(bytes.Clone(kept), len("\u2028"))[len("\u2028"):]
		if strings.ContainsAny(string(ends), "\u0085\u2028\u2029\n\r") {
			return assert.Fail(t, "an end of a line", "%q", ends)
		}
		return json.Unmarshal(ends, &back) == nil && back == text
	}, many))
}

// escaped is a JSON string of escapes, many of them halves of pairs.
func escaped(r *rand.Rand) string {
	var b strings.Builder
	for range r.Intn(6) {
		switch r.Intn(5) {
		case 0:
			fmt.Fprintf(&b, `\u%04x`, 0xd800+r.Intn(0x800)) // a half
		case 1:
			fmt.Fprintf(&b, `\u%04X\u%04x`, 0xd800+r.Intn(0x400), 0xdc00+r.Intn(0x400)) // a pair
		case 2:
			b.WriteString([]string{`\\`, `\"`, `\/`, `\n`, `\\u`, `\\\\`}[r.Intn(6)])
		case 3:
			fmt.Fprintf(&b, `\u%04x`, r.Intn(0xd800))
		default:
			b.WriteString([]string{"a", "d800", "é", "\U0001f600"}[r.Intn(4)])
		}
	}
	return b.String()
}

// Half a pair is found exactly where the library has to put something else for it.
func TestHalvesOfPairsAreFound(t *testing.T) {
	r := rand.New(rand.NewSource(2)) // the same cases each time
	found := 0
	for range 20_000 {
		inner := escaped(r)
		quoted := []byte(`"` + inner + `"`)
		var text string
		require.NoError(t, json.Unmarshal(quoted, &text), inner)
		half := strings.ContainsRune(text, utf8.RuneError) // no case has the character itself
		if half {
			found++
		}
		require.Equal(t, half, HasHalfSurrogate(quoted), inner)
		for _, in := range []string{string(quoted), "{" + string(quoted) + ":1}", "[{" + string(quoted) + ":1}]"} {
			reader := NewJSONReader([]byte(in))
			v, ok := reader.Value()
			require.True(t, ok, in)
			require.Equal(t, half, v.HalfSurrogate(), in)
		}
		plain, whole := AppendUnescaped(nil, []byte(inner))
		require.Equal(t, !half, whole, inner)
		require.Equal(t, text, string(plain), inner)
	}
	require.Greater(t, found, 1000)
}

// Lines are what the parts are with spaces between them, and get their offsets in order,
// from any first one.
func TestLinesAreTheirParts(t *testing.T) {
	require.NoError(t, quick.Check(func(keys, values [][]byte, base uint32, partition uint8, headed bool) bool {
		var l Lines
		want := ""
		n := min(len(keys), len(values))
		for i := range n {
			key, value := AppendRawToken(nil, keys[i]), AppendRawToken(nil, values[i])
			var headers []byte
			middle := ""
			if headed {
				headers = []byte(`{"a":"b"}`)
				middle = " " + string(headers)
			}
			at := int64(1795367763123) + int64(i/2) // some follow one of the same time
			l.Add(at, "t", int(partition), key, value, ActionProduce, headers)
			want += fmt.Sprintf("%s t %d %d %s %s %s%s\n", AppendTimestamp(nil, at), partition, int(base)+i, key, value, ActionProduce, middle)
		}
		got := string(l.AppendNumbered([]byte("x"), Offset(base)))
		return assert.Equal(t, n, l.Len()) && assert.Equal(t, "x"+want, got) &&
			assert.Equal(t, got, string(l.AppendNumbered([]byte("x"), Offset(base))), "it is not used up")
	}, &quick.Config{MaxCount: 300}))
}

// Names are what the documentation's expression says.
func TestNamesAreThoseOfTheExpression(t *testing.T) {
	name := regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)
	for _, s := range []string{strings.Repeat("n", MaxNameLength), strings.Repeat("n", MaxNameLength+1), ".", "..", "...", "", "a\n", "é", "a b", "a/b", "*"} {
		want := name.MatchString(s) && s != "." && s != ".."
		assert.Equal(t, want, ValidName(s), "%q", s)
		assert.Equal(t, want, ValidPattern(s) && !strings.HasSuffix(s, "*"), "%q", s)
	}
	require.NoError(t, quick.Check(func(b []byte) bool {
		for i := range b { // mostly what names have
			if b[i]%8 != 0 {
				b[i] = "abcXYZ019._-"[b[i]%12]
			}
		}
		s := string(b)
		valid := name.MatchString(s) && s != "." && s != ".."
		open := s == "" || name.MatchString(s) // a prefix may be a point
		return ValidName(s) == valid && ValidPattern(s+"*") == (open && !strings.Contains(s, "*")) && matches(s+"*", s+"x") && matches(s+"*", s)
	}, many))
}

// A grant with anything that is not known is refused whole.
func TestGrantsAreRefusedWhole(t *testing.T) {
	good := Grant{Do: []string{"read"}, Cluster: "c", Topics: "t.*", Groups: "*"}
	require.True(t, good.Valid())
	for name, change := range map[string]func(*Grant){
		"no right":        func(g *Grant) { g.Do = nil },
		"an unknown one":  func(g *Grant) { g.Do = []string{"read", "delete"} },
		"an empty one":    func(g *Grant) { g.Do = []string{""} },
		"two in one":      func(g *Grant) { g.Do = []string{"read,write"} },
		"a case":          func(g *Grant) { g.Do = []string{"Read"} },
		"a star inside":   func(g *Grant) { g.Topics = "a*b" },
		"two stars":       func(g *Grant) { g.Groups = "a**" },
		"a bad cluster":   func(g *Grant) { g.Cluster = "a b" },
		"a long pattern":  func(g *Grant) { g.Topics = strings.Repeat("t", MaxNameLength+1) + "*" },
		"a control":       func(g *Grant) { g.Groups = "a\n" },
		"only a point":    func(g *Grant) { g.Topics = "." },
		"an open slash":   func(g *Grant) { g.Topics = "a/*" },
		"not UTF-8":       func(g *Grant) { g.Topics = "\xff*" },
		"a cluster's dot": func(g *Grant) { g.Cluster = ".." },
	} {
		g := good
		change(&g)
		assert.False(t, g.Valid(), name)
	}
	for r := range Right(8) {
		for _, part := range strings.Split(r.String(), ", ") {
			right, known := ParseRight(part)
			assert.Equal(t, part != "", known)
			assert.Equal(t, right, right&r, "%s is one of %s", part, r)
		}
	}
}

// Keys of SCRAM are of one salt only if salt and iterations are the same, and never print.
func TestSaltsAreCompared(t *testing.T) {
	k := func(salt string, n int) *ScramKeys {
		return &ScramKeys{Salt: []byte(salt), Iterations: n, SHA256: ScramPair{Stored: []byte("stored-secret"), Server: []byte("server-secret")}}
	}
	for _, c := range []struct {
		a, b *ScramKeys
		same bool
	}{
		{k("a", 1), k("a", 1), true},
		{k("a", 1), k("a", 2), false},
		{k("a", 1), k("b", 1), false},
		{k("", 0), k("", 0), true},
		{nil, k("a", 1), false},
		{k("a", 1), nil, false},
		{nil, nil, false},
	} {
		assert.Equal(t, c.same, c.a.SameSalt(c.b))
		assert.Equal(t, c.same, c.b.SameSalt(c.a))
	}
	text, err := json.Marshal(k("salt-secret", 4096))
	require.NoError(t, err)
	for _, printed := range []string{string(text), k("salt-secret", 1).String(), fmt.Sprintf("%v %+v %#v", k("salt-secret", 1), k("salt-secret", 1), k("salt-secret", 1))} {
		assert.NotContains(t, printed, "secret")
	}
}

// However many take of a usage at once, no more connections are open than it has.
func TestConnectionsOfATokenAreBounded(t *testing.T) {
	const limit, each = 5, 200
	u := NewUsage(TokenQuota{Connections: limit})
	var mu sync.Mutex
	var wg sync.WaitGroup
	open, most, refused := 0, 0, 0
	for range 20 {
		wg.Go(func() {
			for range each {
				if err := u.Connect(); err != nil {
					mu.Lock()
					refused++
					mu.Unlock()
					assert.Equal(t, CodeQuotaExceeded, err.Code)
					continue
				}
				mu.Lock()
				open++
				most = max(most, open)
				open--
				mu.Unlock()
				u.Disconnect()
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, most, limit)
	for range limit {
		require.Nil(t, u.Connect(), "all have been given back")
	}
	require.NotNil(t, u.Connect())
	u.SetQuota(TokenQuota{Connections: limit + 1})
	require.Nil(t, u.Connect())
	u.SetQuota(TokenQuota{Connections: 1})
	require.NotNil(t, u.Connect(), "what is open stays, and no more is opened")
	u.SetQuota(TokenQuota{})
	require.Nil(t, u.Connect(), "no bound")
}
