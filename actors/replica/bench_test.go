package replica

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/protocol"
)

// BenchmarkGroupCommit takes eight requests through one entry on a sole
// replica: gathered, proposed, written without a sync, applied, answered.
func BenchmarkGroupCommit(b *testing.B) {
	for name, producer := range map[string]string{"plain": "", "producers": "p"} {
		b.Run(name, func(b *testing.B) { benchmarkGroupCommit(b, producer) })
	}
}

func benchmarkGroupCommit(b *testing.B, producer string) {
	id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", Broker: 1, ReplicaID: 1}
	dir := filepath.Join(b.TempDir(), "t-0")
	require.NoError(b, Create(logfile.OSFS{}, dir, id, []uint64{1}, 0, logfile.Options{}))
	log, rec, err := logfile.Open(logfile.OSFS{}, dir, logfile.Options{})
	require.NoError(b, err)
	defer log.Close()
	r, err := New(Config{
		ElectionTicks: 10, HeartbeatTicks: 1, MaxBatchBytes: 1 << 20, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}, log, rec)
	require.NoError(b, err)
	carryOut := func() {
		for {
			fx := r.Take()
			for i := range fx.Committed {
				fx.Committed[i].Answer()
			}
			if fx.Flush {
				r.Flush()
			}
			for _, w := range fx.Writes {
				if err := w.Batch.Execute(); err != nil {
					b.Fatal(err)
				}
				r.DiskDone(w.Seq, nil)
			}
			if !fx.Flush && len(fx.Writes) == 0 {
				return
			}
		}
	}
	r.Campaign(false)
	carryOut()
	requests := make([]*protocol.ProduceRequest, 8)
	for i := range requests {
		requests[i] = &protocol.ProduceRequest{Reply: protocol.NewFuture[protocol.ProduceResult]()}
		if producer != "" {
			requests[i].ProducerID = producer + string(rune('a'+i))
		}
		requests[i].Lines.Add(1, "bench", 0, []byte("-"), make([]byte, 100), protocol.ActionProduce, nil)
	}
	seq := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		for _, req := range requests {
			req.Sequence = seq
			r.Propose(Proposal{Request: req, Lines: &req.Lines})
		}
		carryOut()
		for _, req := range requests {
			if res := <-req.Reply.C(); res.Err != nil {
				b.Fatal(res.Err)
			}
		}
	}
}
