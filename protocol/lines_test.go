package protocol

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The standard library is the judge of AppendTimestamp.
func TestAppendTimestamp(t *testing.T) {
	const last = 253402300799999 // 9999-12-31 23:59:59.999
	check := func(ms int64) {
		want := time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000")
		require.Equal(t, want, string(AppendTimestamp(nil, ms)), "%d ms", ms)
	}
	for _, ms := range []int64{0, 1, 999, 1000, 86399999, 86400000, 951782399999, 951782400000, last, -1, -86400000} {
		check(ms)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		check(rng.Int64N(last))
	}
}
