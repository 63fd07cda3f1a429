package bench

import (
	"context"
	"fmt"
)

// ageWorkloads are the workloads that age compares, with their connections.
var ageWorkloads = []struct {
	name        string
	connections int
}{{"produce-single", 64}, {"produce-batch", 16}}

// age compares writing to a topic that holds a large log with writing to a
// fresh one of another broker, in turn.
func (s *scaleRun) age(ctx context.Context) error {
	old, oldBroker, err := s.broker(ctx)
	if err != nil {
		return err
	}
	defer oldBroker.stop()
	topic, _, err := old.createTopic(ctx)
	if err != nil {
		return err
	}
	if err := s.fill(ctx, old, topic, oldBroker.dir, s.so.AgeBytes); err != nil {
		return err
	}
	young, youngBroker, err := s.broker(ctx)
	if err != nil {
		return err
	}
	defer youngBroker.stop()
	for _, w := range ageWorkloads {
		var rates [2][]float64 // young, old
		var ratios []float64
		for i := range s.Runs {
			for j := range rates {
				side := (i + j) % 2
				rate, err := s.rateOn(ctx, [2]*session{young, old}[side], w.name, w.connections, [2]string{"", topic}[side])
				if err != nil {
					return err
				}
				rates[side] = append(rates[side], rate)
			}
			ratios = append(ratios, rates[1][i]/rates[0][i])
		}
		name := fmt.Sprintf("%s, %d connections", w.name, w.connections)
		s.figure(name+", empty", "records/s", nil, rates[0]...)
		s.figure(fmt.Sprintf("%s, %.1f GB of log", name, float64(s.so.AgeBytes)/1e9), "records/s", nil, rates[1]...)
		s.figure(name+", old / empty", "", atLeast(0.9), ratios...)
	}
	return nil
}

// rateOn is the number of records per second written to a topic; without one, to
// a new topic.
func (s *scaleRun) rateOn(ctx context.Context, ses *session, workload string, connections int, topic string) (float64, error) {
	with := *ses
	with.workload, with.connections = find(workload), connections
	if topic == "" {
		fresh, remove, err := with.createTopic(ctx)
		if err != nil {
			return 0, err
		}
		defer remove()
		topic = fresh
	}
	calls := with.batches(topic)
	if workload == "produce-single" {
		calls = with.singles(topic, `"committed":true`)
	}
	list, err := with.runCalls(ctx, calls)
	if err != nil {
		return 0, err
	}
	if m := &list[0]; m.Errors > 0 {
		return 0, fmt.Errorf("%s: %d errors, the first: %s", workload, m.Errors, m.FirstError)
	}
	return list[0].RecordsPerSecond, nil
}
