package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// runKafkaCommit is commit with Kafka's protocol. Each client commits for a group of its
// own, which has no members, and waits for the answer.
func runKafkaCommit(ctx context.Context, of *session) ([]Measurement, error) {
	s := kafkaSession{of}
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := s.preloadKafka(ctx, topic, preloaded); err != nil {
		return nil, err
	}
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.OffsetCommit), lastNamedCommit)
	rec := newRecorder(s.workload.name)
	js := make(jobs, s.connections)
	for i := range js {
		cl, err := s.kafkaClient(kgo.MaxVersions(versions))
		if err != nil {
			return nil, err
		}
		defer cl.Close()
		group := fmt.Sprintf("%s-%d", topic, i)
		if err := firstCommit(ctx, cl, group, topic); err != nil {
			return nil, err
		}
		js[i] = func(ctx context.Context) error {
			for n := int64(1); ctx.Err() == nil; n++ {
				start := time.Now()
				switch err := commitKafka(ctx, cl, group, topic, min(n, preloaded)); {
				case err == nil:
					rec.done(time.Since(start), 1, 0)
				case ctx.Err() == nil:
					rec.failed(err.Error())
				}
			}
			return nil
		}
	}
	return s.measure(ctx, []*recorder{rec}, js)
}

// lastNamedCommit is the last version of OffsetCommit in which topics are named: later ones
// have their ids.
const lastNamedCommit = 9

// firstCommitPatience is how long a cluster may take until it has coordinators.
const firstCommitPatience = 30 * time.Second

func firstCommit(ctx context.Context, cl *kgo.Client, group, topic string) error {
	for end := time.Now().Add(firstCommitPatience); ; {
		err := commitKafka(ctx, cl, group, topic, 0)
		if err == nil || !kerr.IsRetriable(err) || time.Now().After(end) || !waitUntil(ctx, time.Now().Add(100*time.Millisecond)) {
			return err
		}
	}
}

func commitKafka(ctx context.Context, cl *kgo.Client, group, topic string, offset int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return fmt.Errorf("commit: an answer about %d topics", len(resp.Topics))
	}
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
