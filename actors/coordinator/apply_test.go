package coordinator

import (
	"fmt"
	"testing"

	"ottla/logfile"
)

// A replica follows a commit.
func BenchmarkFollowACommit(b *testing.B) {
	c := New(leading{}, &Env{}, nil, logfile.Identity{ClusterID: "c"})
	recs := make([]logfile.Record, 64)
	for i := range recs {
		recs[i] = logfile.Record{
			Key:   fmt.Appendf(nil, `["o","bench-1764500000-%d","0a1b2c3d4e5f60718293a4b5c6d7e8f9",0]`, i),
			Value: []byte(`{"v":1,"offset":12345,"topic":"bench-1764500000","at":1764500000000}`), Action: []byte("COMMIT"),
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Apply(recs[i%64 : i%64+1])
	}
}
