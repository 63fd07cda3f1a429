package cli

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"ottla/client"
	"ottla/protocol"
)

// deadHeader begins the names of the headers that dead letters have.
const deadHeader = "ottla-dead-"

const (
	// redrivePage is how many dead letters are read, and then put back, at once.
	redrivePage = 500
	// redriveLanes is how many of them are put back at the same time.
	redriveLanes = 16
)

func newQueueRedrive(r *remote) *cobra.Command {
	var cluster string
	var maxRecords int
	cmd := clusterFlag(&cobra.Command{
		Use: "redrive NAME", Short: "Put the dead letters of a queue back into their topics", Args: exactArgs("a NAME"),
		Long: "Put the dead letters of a queue back into their topics, as new records of the same\n" +
			"partition, key, value and headers. What was put back is remembered in the group\n" +
			"NAME.redrive, so the next redrive goes on behind it; dead letters stay in their topic.\n" +
			"A redrive that is interrupted puts nothing back twice if it is repeated within ten minutes.",
		Example: "  ottla queue redrive senders\n  ottla queue redrive senders --max-records 10",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := r.client()
			if err != nil {
				return err
			}
			ctx, stop := r.context(cmd)
			defer stop()
			n, err := redrive(ctx, r.p, a, cluster, args[0], maxRecords)
			if n > 0 || err == nil {
				fmt.Fprintf(r.p.stdout, "%s of queue %s put back\n", count(n, "dead letter"), args[0])
			}
			return interrupted(a.explain(err))
		},
	}, &cluster, "the queue's cluster")
	cmd.Flags().IntVar(&maxRecords, "max-records", 0, "at most so many (default: all that are there now)")
	return cmd
}

// redrive puts dead letters back, at most limit unless that is 0, and returns how many.
func redrive(ctx context.Context, p *process, a *api, cluster, queue string, limit int) (n int, err error) {
	info, err := a.Group(ctx, cluster, queue)
	if err != nil {
		return 0, err
	}
	if info.QueueInfo == nil {
		return 0, fmt.Errorf("group %s is no queue", queue)
	}
	topics := map[string]bool{}
	for _, t := range info.Topics {
		dead := t + protocol.DeadSuffix
		if info.DeadLetterTopic != nil {
			dead = *info.DeadLetterTopic
		}
		topics[dead] = true
	}
	d := &redriver{api: a, cluster: info.Cluster, queue: queue, ends: map[protocol.TopicPartition]int64{}}
	for topic := range topics {
		t, err := a.Topic(ctx, info.Cluster, topic)
		if client.HasCode(err, protocol.CodeTopicNotFound) {
			delete(topics, topic)
			continue
		}
		if err != nil {
			return 0, err
		}
		for _, p := range t.Partitions {
			if p.Latest != nil {
				d.ends[protocol.TopicPartition{Topic: topic, Partition: p.Number}] = int64(*p.Latest)
			}
		}
	}
	if len(topics) == 0 {
		return 0, nil
	}
	d.poll = client.PollRequest{
		Cluster: info.Cluster, Group: queue + ".redrive", Topics: slices.Sorted(maps.Keys(topics)), Wait: -1, MaxRecords: redrivePage,
	}
	note := newProgress(p, "dead letters", 0)
	defer note.end()
	err = d.run(ctx, limit, note)
	return d.done, err
}

// redriver reads the dead letters that were there at the beginning.
type redriver struct {
	api            *api
	cluster, queue string
	ends           map[protocol.TopicPartition]int64 // where they ended at the beginning
	poll           client.PollRequest
	done           int
}

func (d *redriver) run(ctx context.Context, limit int, note *progress) error {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
		defer cancel()
		_ = d.api.LeaveGroup(ctx, d.cluster, d.poll.Group, d.poll.ConsumerID) // else its lease runs out
	}()
	for limit == 0 || d.done < limit {
		reply, err := d.api.Poll(ctx, d.poll)
		if err != nil {
			return err
		}
		d.poll.ConsumerID = reply.ConsumerID
		page := d.page(reply.Messages, limit)
		if len(page) == 0 {
			return nil
		}
		commit, err := d.putAllBack(ctx, page)
		for at, offset := range commit {
			if cerr := d.api.CommitOffsets(ctx, d.cluster, d.poll.Group, d.poll.ConsumerID, []client.PartitionOffset{{Topic: at.Topic, Partition: at.Partition, Offset: offset}}); cerr != nil && err == nil {
				err = cerr
			}
		}
		if err != nil {
			return err
		}
		note.update(d.done, 0)
	}
	return nil
}

// page are the messages that were there at the beginning, up to as many of the queue's own
// as are to be put back yet.
func (d *redriver) page(messages []client.Message, limit int) (page []*client.Message) {
	own := d.done
	for i := range messages {
		m := &messages[i]
		if limit > 0 && own == limit {
			break
		}
		if m.Offset >= d.ends[partitionOf(m)] {
			continue // it died meanwhile
		}
		if d.isOwn(m) {
			own++
		}
		page = append(page, m)
	}
	return page
}

// putAllBack puts messages back, several at the same time, those of a key in their order.
// It returns up to where each partition is done with, and the first error.
func (d *redriver) putAllBack(ctx context.Context, page []*client.Message) (commit map[protocol.TopicPartition]int64, err error) {
	var lanes [redriveLanes][]*client.Message
	for i, m := range page {
		lane := i % redriveLanes
		if !m.Key.IsNull() {
			h := fnv.New32a()
			_, _ = h.Write(m.Key.Bytes()) // a hash never fails
			lane = int(h.Sum32() % redriveLanes)
		}
		lanes[lane] = append(lanes[lane], m)
	}
	commit = map[protocol.TopicPartition]int64{}
	for _, m := range page {
		commit[partitionOf(m)] = m.Offset + 1
	}
	ctx, cancel := context.WithCancel(ctx) // when one fails the others go no further
	defer cancel()
	var mu sync.Mutex
	var putting sync.WaitGroup
	for _, lane := range lanes {
		putting.Go(func() {
			for i, m := range lane {
				failed := d.putBack(ctx, m)
				mu.Lock()
				if failed == nil {
					if d.isOwn(m) {
						d.done++
					}
					mu.Unlock()
					continue
				}
				if err == nil {
					err = failed
				}
				for _, left := range lane[i:] {
					commit[partitionOf(left)] = min(commit[partitionOf(left)], left.Offset)
				}
				mu.Unlock()
				cancel()
				return
			}
		})
	}
	putting.Wait()
	return commit, err
}

func partitionOf(m *client.Message) protocol.TopicPartition {
	return protocol.TopicPartition{Topic: m.Topic, Partition: m.Partition}
}

// isOwn reports whether a dead letter is one of this queue.
func (d *redriver) isOwn(m *client.Message) bool { return m.Headers[deadHeader+"group"] == d.queue }

// putBack writes a dead letter to the topic that it is from, unless it is another
// queue's.
func (d *redriver) putBack(ctx context.Context, m *client.Message) error {
	if !d.isOwn(m) {
		return nil
	}
	topic := m.Headers[deadHeader+"topic"]
	rec := client.Record{Key: m.Key, Value: m.Value}
	list, err := m.HeaderList()
	if err != nil {
		return err
	}
	for _, h := range list {
		if !strings.HasPrefix(h.Name, deadHeader) {
			rec.HeaderList = append(rec.HeaderList, h)
		}
	}
	if p, err := strconv.Atoi(m.Headers[deadHeader+"partition"]); err == nil {
		rec.Partition = &p
	}
	key := fmt.Sprintf("redrive-%s-%d-%d-%d", hashOf(m.Topic), m.Partition, m.Offset, m.Timestamp.UnixMilli())
	for tries := 0; ; tries++ {
		_, err := d.api.ProduceOnce(ctx, d.cluster, topic, key, rec)
		if err == nil {
			return nil
		}
		var said *client.Error
		if tries == redriveTries || errors.As(err, &said) && !said.Retriable {
			return err
		}
		t := time.NewTimer(retryBackoff << tries)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// hashOf shortens a name that may be too long for an idempotency key.
func hashOf(name string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return strconv.FormatUint(h.Sum64(), 36)
}

// redriveTries is how often a dead letter is written again before the redrive fails.
const redriveTries = 6
