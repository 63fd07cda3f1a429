package http

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"math/big"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"
)

// FuzzInteger checks that a JSON number is accepted as an integer exactly if its
// value is one, and that it saturates beyond 64 bits. In a query only digits are
// accepted.
func FuzzInteger(f *testing.F) {
	for _, s := range []string{
		"0", "-0", "7", "-1", "3.0", "3e0", "0.001e3", "1200e-2", "1e18", "9223372036854775806", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808", "1e19", "1.5", "5e-324", "0e99999999999", "0.0", "1E+2", "-2.50e1", "01", "+1", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var number json.Number
		isNumber := json.Unmarshal(text, &number) == nil && bytes.Equal(text, bytes.TrimSpace(text)) && text[0] != '"' && text[0] != 'n'
		want := new(big.Int)
		_, digits := want.SetString(string(text), 10)
		if digits = digits && isNumber; digits {
			checkInteger(t, text, value{text: text, isQ: true}, want)
		} else if _, ok := (value{text: text, isQ: true}).integer(); ok {
			t.Fatalf("%q is taken as an integer", text)
		}
		if !isNumber {
			return
		}
		v := value{}
		v.json.Raw = text
		if i := bytes.IndexAny(text, "eE"); i >= 0 && len(text)-i > 6 {
			v.integer() // too large for math/big, but not for us
			return
		}
		exact, ok := new(big.Rat).SetString(string(text))
		if !ok {
			t.Fatalf("%q is no number to math/big", text)
		}
		if exact.IsInt() {
			checkInteger(t, text, v, exact.Num())
		} else if n, ok := v.integer(); ok {
			t.Fatalf("%q is taken as %d", text, n)
		}
	})
}

func checkInteger(t *testing.T, text []byte, v value, want *big.Int) {
	t.Helper()
	n, ok := v.integer()
	most := big.NewInt(math.MaxInt64)
	if want.CmpAbs(most) > 0 {
		want = new(big.Int).Mul(most, big.NewInt(int64(want.Sign())))
	}
	if !ok || want.Cmp(big.NewInt(n)) != 0 {
		t.Fatalf("%q is taken as %d %v, want %v", text, n, ok, want)
	}
}

// FuzzDecompress checks that an accepted body is what other decoders read, that
// other decoders refuse a refused body too unless it is too large, and that no body
// takes more than the limit, whatever its header claims.
func FuzzDecompress(f *testing.F) {
	const limit = 64 << 10
	for _, plain := range [][]byte{nil, []byte("{}"), []byte(event130), make([]byte, limit), make([]byte, limit+1), make([]byte, 4<<20)} {
		for _, packed := range packings(f, plain) {
			f.Add(packed)
			f.Add(append(bytes.Clone(packed), packed...))
			f.Add(packed[:len(packed)*2/3])
			f.Add(append(bytes.Clone(packed), 0))
		}
	}
	s := New(newFake(), Options{MaxBodyBytes: limit, MaxInflightBytes: 32 << 20})
	reference, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		if len(packed) > limit {
			return
		}
		plain, err := unpackGzip(packed, limit)
		checkUnpacked(t, s, "gzip", packed, plain, err, limit)
		plain, err = reference.DecodeAll(packed, make([]byte, 0, limit))
		checkUnpacked(t, s, "zstd", packed, plain, err, limit)
	})
}

// packings returns text in both encodings, with and without its size announced.
func packings(f *testing.F, plain []byte) [][]byte {
	var gz, streamed bytes.Buffer
	z := gzip.NewWriter(&gz)
	w, err := zstd.NewWriter(&streamed)
	if err != nil {
		f.Fatal(err)
	}
	for _, err := range []error{writeAll(z, plain), writeAll(w, plain)} {
		if err != nil {
			f.Fatal(err)
		}
	}
	return [][]byte{gz.Bytes(), streamed.Bytes(), w.EncodeAll(plain, nil)}
}

func unpackGzip(packed []byte, limit int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, int64(limit)+1))
}

func checkUnpacked(t *testing.T, s *Server, encoding string, packed, plain []byte, wantErr error, limit int) {
	t.Helper()
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.Set("Content-Encoding", encoding)
	c := s.acquire(&ctx)
	c.body = packed
	err := c.decompress()
	switch {
	case err == nil && (wantErr != nil || !bytes.Equal(c.body, plain)):
		t.Fatalf("%s %q is taken as %q, want %q %v", encoding, packed, c.body, plain, wantErr)
	case err != nil && wantErr == nil && len(plain) <= limit && !largeWindow(packed):
		t.Fatalf("%s %q is refused (%v), and is %q", encoding, packed, err, plain)
	case int64(cap(c.body)) > c.held+keepBytes:
		t.Fatalf("%s %q takes %d bytes, %d are paid for", encoding, packed, cap(c.body), c.held)
	case err != nil && err.Code.Status() != 400 && err.Code.Status() != 413:
		t.Fatalf("%s %q: %v", encoding, packed, err)
	}
	s.release(c)
	if held := s.intake.bytes.Used(); held != 0 {
		t.Fatalf("%d bytes are still held", held)
	}
}

// largeWindow reports whether a frame of a zstd body wants more memory than
// every decoder must have, or is of a larger class than the first.
func largeWindow(packed []byte) bool {
	var first, h zstd.Header
	limit := uint64(zstdSmallWindow)
	if first.Decode(packed) == nil && first.WindowSize > limit {
		limit = zstdWindow
	}
	for at := range packed {
		if h.Decode(packed[at:]) == nil && (h.WindowSize > limit || h.DictionaryID != 0) {
			return true
		}
	}
	return false
}
