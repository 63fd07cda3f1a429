package bench

import (
	"context"
	"fmt"
	"time"

	"ottla/client"
)

// idle creates a topic with many partitions, writes to each of them once, and
// then measures what it costs without any request.
func (s *scaleRun) idle(ctx context.Context) error {
	ses, p, err := s.broker(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	start := time.Now()
	topic, remove, err := ses.topicOf(ctx, s.so.IdlePartitions)
	if err != nil {
		return err
	}
	defer remove()
	s.figure(fmt.Sprintf("create a topic of %d partitions", s.so.IdlePartitions), "s", nil, time.Since(start).Seconds())
	if err := touch(ctx, ses, topic, s.so.IdlePartitions); err != nil {
		return err
	}
	s.note("waiting for rest ...")
	if !waitUntil(ctx, time.Now().Add(s.so.Settle)) {
		return context.Cause(ctx)
	}
	s.note("looking for %s ...", s.so.Window)
	percent, mb, err := cpuOver(ctx, ses.pids[0], s.so.Window)
	if err != nil {
		return err
	}
	s.figure(fmt.Sprintf("%d partitions x %d, idle CPU", s.so.IdlePartitions, s.Replicas), "%", atMost(5), percent)
	s.figure(fmt.Sprintf("%d partitions x %d, RSS", s.so.IdlePartitions, s.Replicas), "MB", atMost(300), mb)
	return nil
}

// touch writes one record to each partition.
func touch(ctx context.Context, s *session, topic string, partitions int) error {
	p, err := s.client.NewProducer(topic, client.ProducerConfig{Cluster: s.cluster})
	if err != nil {
		return err
	}
	for i := range partitions {
		if err := p.Send(ctx, client.Record{Value: client.JSONData(s.value(i)), Partition: &i}, nil); err != nil {
			return err
		}
	}
	return p.Close(ctx)
}
