package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// send sends the batch until it is committed. It carries the producer's id
// and a sequence number, so sending it again cannot make duplicates; one that
// was committed in part is completed.
func (s *producer) send(ctx context.Context) error {
	if s.records == 0 {
		return nil
	}
	s.sequence++
	deadline := time.Now().Add(s.o.retryFor)
	wait := 100 * time.Millisecond
	warned := false
	for {
		err := s.try(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var away *unreachableError
		lost := s.committed == 0 && s.sequence == 1 && !warned && errors.As(err, &away) // a wrong address, more likely
		if lost || !worthRetrying(err) || time.Now().After(deadline) {
			return fmt.Errorf("lines %d to %d: %w", s.first, s.first+s.records-1, err)
		}
		if !warned {
			warned = true
			s.progress.note(fmt.Sprintf("retrying: %v", err))
		}
		pause(ctx, max(wait, retryAfter(err)))
		wait = min(2*wait, 2*time.Second)
	}
	s.committed += s.records
	s.records = 0
	s.batch.Reset()
	s.progress.update(s.committed, s.read)
	return nil
}

// retryAfter is what the server asked for, within reason.
func retryAfter(err error) time.Duration {
	var e *apiError
	if errors.As(err, &e) {
		return min(e.retryAfter, 5*time.Second)
	}
	return 0
}

// try sends the batch once.
func (s *producer) try(ctx context.Context) error {
	var answer struct {
		Partitions []struct {
			Partition int       `json:"partition"`
			Error     *apiError `json:"error"`
		} `json:"partitions"`
	}
	status, err := s.c.doStatus(ctx, request{
		method: http.MethodPost, path: "/events",
		query: query("topic", s.o.topic, "cluster", s.o.cluster),
		body:  s.batch.Bytes(),
		header: map[string]string{
			"Content-Type":   "application/x-ndjson",
			"Producer-Id":    s.id,
			"Producer-Epoch": "0",
			"Producer-Seq":   strconv.FormatInt(s.sequence, 10),
		},
	}, &answer)
	if err != nil || status != http.StatusMultiStatus {
		return err
	}
	return s.partial(answer.Partitions)
}

// partial makes one error of a batch that some partitions refused.
func (s *producer) partial(partitions []struct {
	Partition int       `json:"partition"`
	Error     *apiError `json:"error"`
},
) error {
	var first *apiError
	for _, p := range partitions {
		if p.Error == nil {
			continue
		}
		if first == nil || first.Retriable && !p.Error.Retriable {
			first = p.Error
			first.Message = fmt.Sprintf("partition %d: %s", p.Partition, first.Message)
		}
	}
	if first == nil {
		return errors.New("the server reports a failed partition without naming it")
	}
	return first
}

// decodeInto decodes JSON that a server sent.
func decodeInto(text json.RawMessage, out any) error {
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the answer is not what an Ottla server gives: %w", err)
	}
	return nil
}
