package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// manyOnTopic is how many partitions a topic of startMany has at most: few enough to be made
	// within the time of a request on a slow machine.
	manyOnTopic = 100

	// manySpare is for the replicas of internal topics, of which a cluster has a few for each
	// broker.
	manySpare = 100
)

// startMany is the case start-many.
func startMany(s *scaleRun, ctx context.Context) error { return (&manyStart{scaleRun: s}).run(ctx) }

// manyStart is a broker with many replicas.
type manyStart struct {
	*scaleRun
	topics []sizedTopic
}

// sizedTopic is a topic and its number of partitions.
type sizedTopic struct {
	name       string
	partitions int
}

// run measures how long a broker with many replicas takes until it is ready after
// kill -9. Every other topic has a record in each of its partitions, and gets one more before
// each kill, so that some logs are idle and some have an end that no sync mark covers.
func (s *manyStart) run(ctx context.Context) error {
	replicas := s.so.StartPartitions * s.Replicas
	s.Env = append(s.Env[:len(s.Env):len(s.Env)], fmt.Sprintf("OTTLA_LIMITS_PARTITIONS=%d", replicas+manySpare))
	ses, p, err := s.broker(ctx)
	if err != nil {
		return err
	}
	dir := p.dir
	defer func() {
		p.end()
		_ = os.RemoveAll(dir)
	}()
	began := time.Now()
	if err := s.create(ctx, ses); err != nil {
		return err
	}
	s.figure(fmt.Sprintf("create %s replicas", thousands(float64(replicas))), "s", nil, time.Since(began).Seconds())
	var ready, cpu []float64
	for range s.Runs {
		if err := s.write(ctx, p); err != nil {
			return err
		}
		p.kill()
		if p, err = s.restart(ctx, p, dir, &ready); err != nil {
			return err
		}
		cpu = append(cpu, usageOf(p.cmd.Process.Pid).cpu.Seconds())
	}
	where := fmt.Sprintf("%s replicas on %s", thousands(float64(replicas)), filesystem(dir))
	s.figure("ready after kill -9, "+where, "s", atMost(5), ready...)
	s.figure("CPU of the broker until then", "s", nil, cpu...)
	return nil
}

// create makes topics until they have so many partitions, and waits until all have leaders: the
// broker answers before that.
func (s *manyStart) create(ctx context.Context, ses *session) error {
	for left := s.so.StartPartitions; left > 0; {
		s.note("creating topics: %d partitions to go ...", left)
		n := min(left, manyOnTopic)
		name, _, err := ses.topicOf(ctx, n)
		if err != nil {
			return err
		}
		s.topics, left = append(s.topics, sizedTopic{name, n}), left-n
		if err := s.leads(ctx, ses); err != nil {
			return err
		}
	}
	return nil
}

// write writes a record to each partition of every other topic.
func (s *manyStart) write(ctx context.Context, p *process) error {
	s.note("writing ...")
	ses, err := s.sessionWith(p)
	if err != nil {
		return err
	}
	for i := 0; i < len(s.topics); i += 2 {
		if err := touch(ctx, ses, s.topics[i].name, s.topics[i].partitions); err != nil {
			return err
		}
	}
	return nil
}

// leads waits until every partition has a leader.
func (s *manyStart) leads(ctx context.Context, ses *session) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := ses.client.Ready(ctx)
		if err == nil {
			return nil
		}
		if !waitUntil(ctx, time.Now().Add(50*time.Millisecond)) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
