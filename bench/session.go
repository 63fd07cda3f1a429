package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ottla/client"
)

// topics counts the topics of this process, so that each run has a new one.
var topics atomic.Int64

// session is one run of one workload against one target.
type session struct {
	*Options
	workload    *workload
	connections int
	targets     []string // host:port of each node
	kafka       string   // host:port for Kafka clients
	client      *client.Client
	cluster     string
	pids        []int // of the processes whose CPU time is measured
	progress    *progress
}

// createTopic creates a new topic and returns a function that deletes it.
func (s *session) createTopic(ctx context.Context) (topic string, remove func(), err error) {
	topic = fmt.Sprintf("bench-%s-%d-%d", s.workload.name, os.Getpid(), topics.Add(1))
	if s.client == nil {
		remove, err = kafkaSession{s}.createKafkaTopic(ctx, topic)
		return topic, remove, err
	}
	_, err = s.client.CreateTopic(ctx, client.TopicSpec{
		Name: topic, Cluster: s.cluster, Partitions: s.Partitions, ReplicationFactor: s.Replicas,
	})
	if err != nil {
		return "", nil, fmt.Errorf("create topic: %w", err)
	}
	return topic, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = s.client.DeleteTopic(ctx, s.cluster, topic) // one that stays does no harm
	}, nil
}

// schedule is the schedule of an open loop, nil for a closed loop.
func (s *session) schedule() *schedule {
	if s.Rate == 0 {
		return nil
	}
	return newSchedule(s.Rate, time.Now())
}

// jobs run at the same time; each ends with its context.
type jobs []func(context.Context) error

// errEnded ends the jobs of a measurement that is complete.
var errEnded = errors.New("the measurement is complete")

// measure runs jobs for the warm-up and the duration and returns what the
// recorders got during the duration.
func (s *session) measure(ctx context.Context, recorders []*recorder, js jobs) ([]Measurement, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, job := range js {
		running.Go(func() {
			if err := job(ctx); err != nil {
				cancel(err) // without effect once it has ended
			}
		})
	}
	measurements, err := s.watch(ctx, recorders)
	cancel(errEnded)
	running.Wait()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, errEnded) {
		err = cause
	}
	return measurements, err
}

// firstAnswer is how long a measurement goes on at most in which nothing has been answered:
// a brief one on a slow machine.
const firstAnswer = 30 * time.Second

// watch waits for the end of the warm-up, then records the series.
func (s *session) watch(ctx context.Context, recorders []*recorder) ([]Measurement, error) {
	if !waitUntil(ctx, time.Now().Add(s.Warmup)) {
		return nil, context.Cause(ctx)
	}
	interval := min(time.Second, max(100*time.Millisecond, s.Duration/40))
	start := time.Now()
	before, own := s.usage(), usageOf(os.Getpid())
	for _, r := range recorders {
		r.begin()
		if r.slots != nil {
			// Slots that became overdue in the warm-up do not count.
			r.slots.restart(start)
		}
	}
	last := start
	for last.Sub(start) < s.Duration || last.Sub(start) < firstAnswer && slices.ContainsFunc(recorders, (*recorder).empty) {
		if !waitUntil(ctx, last.Add(interval)) {
			return nil, context.Cause(ctx)
		}
		now := time.Now()
		for i, r := range recorders {
			p := r.point(now.Sub(start), now.Sub(last))
			if i == 0 {
				s.progress.show(s, r.name, p)
			}
		}
		last = now
	}
	elapsed := last.Sub(start)
	after, ownAfter := s.usage(), usageOf(os.Getpid())
	list := make([]Measurement, len(recorders))
	for i, r := range recorders {
		m := r.measurement(elapsed)
		m.Connections = s.connections
		m.LoadCores = (ownAfter.cpu - own.cpu).Seconds() / elapsed.Seconds()
		m.BrokerCores = (after.cpu - before.cpu).Seconds() / elapsed.Seconds()
		m.BrokerMB = float64(after.rss) / 1e6
		if m.Requests == 0 {
			return nil, fmt.Errorf("%s: no request succeeded: %s", m.Name, m.FirstError)
		}
		list[i] = m
	}
	return list, nil
}

func (s *session) usage() (sum usage) {
	for _, pid := range s.pids {
		u := usageOf(pid)
		sum.cpu += u.cpu
		sum.rss += u.rss
	}
	return sum
}

// post renders a POST request.
func (s *session) post(path, mediaType string, body []byte) []byte {
	b := append([]byte(nil), "POST "+path+" HTTP/1.1\r\nHost: "+s.targets[0]+s.authorization()+"\r\nContent-Type: "+mediaType+"\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// get renders a GET request.
func (s *session) get(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + s.targets[0] + s.authorization() + "\r\n\r\n")
}

// authorization is the header that shows the token, behind another one.
func (s *session) authorization() string {
	if s.Token == "" {
		return ""
	}
	return "\r\nAuthorization: Bearer " + s.Token
}

// topicOf is createTopic with another number of partitions.
func (s *session) topicOf(ctx context.Context, partitions int) (topic string, remove func(), err error) {
	o := *s.Options
	o.Partitions = partitions
	with := *s
	with.Options = &o
	return with.createTopic(ctx)
}
