package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// How large logs are filled.
const (
	fillConnections = 16
	fillBatch       = 500
	fillRecord      = 1000 // bytes

	// startPartitions is the default of topics.
	startPartitions = 3

	// killLoad is how long events are written before kill -9.
	killLoad = 2 * time.Second
)

// start measures how long a broker with a large log takes until it is ready.
func (s *scaleRun) start(ctx context.Context) error {
	ses, p, err := s.broker(ctx)
	if err != nil {
		return err
	}
	dir := p.dir
	defer func() {
		p.end()
		_ = os.RemoveAll(dir)
	}()
	topic, _, err := ses.topicOf(ctx, startPartitions)
	if err != nil {
		return err
	}
	if err := s.fill(ctx, ses, topic, dir, s.so.StartBytes); err != nil {
		return err
	}
	var stops, afterStop, afterKill []float64
	for range s.Runs {
		s.note("stopping ...")
		begin := time.Now()
		p.end()
		stops = append(stops, time.Since(begin).Seconds())
		if p, err = s.restart(ctx, p, dir, &afterStop); err != nil {
			return err
		}
		if err := s.killUnderLoad(ctx, p, topic); err != nil {
			return err
		}
		if p, err = s.restart(ctx, p, dir, &afterKill); err != nil {
			return err
		}
	}
	gb := fmt.Sprintf("%.1f GB of log", float64(s.so.StartBytes)/1e9)
	s.figure("stop, "+gb, "s", nil, stops...)
	s.figure("ready after a clean stop, "+gb, "s", atMost(2), afterStop...)
	s.figure("ready after kill -9 under load, "+gb, "s", atMost(5), afterKill...)
	return nil
}

// restart starts a broker on the data of one that has ended and records the
// seconds that this took. After an error p is still the ended one.
func (s *scaleRun) restart(ctx context.Context, p *process, dir string, took *[]float64) (*process, error) {
	s.note("starting again ...")
	begin := time.Now()
	next, err := startBrokerIn(ctx, &s.Options, dir)
	if err != nil {
		return p, err
	}
	*took = append(*took, time.Since(begin).Seconds())
	return next, nil
}

// killUnderLoad writes single events for a while and kills the broker while it
// does.
func (s *scaleRun) killUnderLoad(ctx context.Context, p *process, topic string) error {
	s.note("killing it under load ...")
	ses, err := s.sessionWith(p)
	if err != nil {
		return err
	}
	ses.connections = 64
	rec := newRecorder("load")
	ended := make(chan error, 1)
	go func() { ended <- ses.loadOf(rec, ses.singles(topic, `"committed":true`)).run(ctx) }()
	timer := time.NewTimer(killLoad)
	defer timer.Stop()
	select {
	case <-timer.C:
		p.kill()
		if err := <-ended; err == nil {
			return errors.New("load: it did not notice the kill")
		}
	case err := <-ended:
		return fmt.Errorf("load: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if rec.point(killLoad, killLoad).Rate == 0 {
		return errors.New("load: nothing was written before the kill")
	}
	return nil
}

// fill writes batches until the files below dir have so many bytes.
func (s *scaleRun) fill(ctx context.Context, ses *session, topic, dir string, bytes int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := *ses.Options
	o.BatchSize, o.RecordBytes = fillBatch, fillRecord
	with := *ses
	with.Options, with.connections = &o, fillConnections
	rec := newRecorder("fill")
	ended := make(chan error, 1)
	go func() { ended <- with.loadOf(rec, with.batches(topic)).run(ctx) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for size := int64(0); size < bytes; {
		select {
		case <-tick.C:
		case err := <-ended:
			return errors.Join(context.Cause(ctx), err)
		}
		var err error
		if size, err = sizeOf(dir); err != nil {
			return err
		}
		s.note("writing a log: %.1f of %.1f GB", float64(size)/1e9, float64(bytes)/1e9)
	}
	cancel(errEnded)
	if err := <-ended; err != nil {
		return err
	}
	if rec.since.Errors > 0 {
		return fmt.Errorf("writing a log: %d errors, the first: %s", rec.since.Errors, rec.firstErr)
	}
	return nil
}

// sizeOf is the sum of all file sizes below dir.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		fi, err := d.Info()
		if err == nil {
			size += fi.Size()
		}
		return ignoreGone(err)
	})
	return size, err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
