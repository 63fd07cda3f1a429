package bench

import "context"

// ack compares the time to an acknowledgement on one connection with the time of
// one fdatasync. The disk is probed right before and after, because its speed
// varies.
func (s *scaleRun) ack(ctx context.Context) error {
	t := targets{o: &s.Options, progress: s.show}
	defer t.stop()
	var acks, syncs, ratios []float64
	for range s.Runs {
		before, err := probeSync(s.probeDir())
		if err != nil {
			return err
		}
		m, err := s.measured(ctx, &t, "produce-single", 1)
		if err != nil {
			return err
		}
		after, err := probeSync(s.probeDir())
		if err != nil {
			return err
		}
		sync := micros(int64(before+after)) / 2
		acks, syncs, ratios = append(acks, m.Latency.P50), append(syncs, sync), append(ratios, m.Latency.P50/sync)
	}
	s.figure("ack p50, one connection", "µs", nil, acks...)
	s.figure("fdatasync p50, 4 KiB", "µs", nil, syncs...)
	s.figure("ack / fdatasync", "", atMost(2), ratios...)
	return nil
}

// How partitions compares.
const (
	manyPartitions       = 16
	partitionConnections = 256
)

// partitions alternates between topics of one partition and of many. They share a
// broker, because a topic that nobody uses costs next to nothing.
func (s *scaleRun) partitions(ctx context.Context) error {
	t := targets{o: &s.Options, progress: s.show}
	defer t.stop()
	rates := map[int][]float64{}
	var ratios []float64
	for i := range s.Runs {
		order := [2]int{1, manyPartitions}
		if i%2 == 1 {
			order = [2]int{manyPartitions, 1}
		}
		for _, n := range order {
			s.Partitions = n
			m, err := s.measured(ctx, &t, "produce-single", partitionConnections)
			if err != nil {
				return err
			}
			rates[n] = append(rates[n], m.RequestsPerSecond)
		}
		ratios = append(ratios, rates[manyPartitions][i]/rates[1][i])
	}
	s.figure("one partition, 256 connections", "/s", nil, rates[1]...)
	s.figure("16 partitions, 256 connections", "/s", nil, rates[manyPartitions]...)
	s.figure("16 partitions / one", "", atLeast(0.8), ratios...)
	return nil
}
