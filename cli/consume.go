package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// consumeOptions are the flags of `ottla consume`.
type consumeOptions struct {
	topic, cluster string
	group          string
	from           string
	maxRecords     int // 0: no limit
	follow         bool
	wait           time.Duration
}

// pollRecords is how many records one poll asks for at most.
const pollRecords = 500

func newConsume(p *process) *cobra.Command {
	r := &remote{p: p}
	o := &consumeOptions{}
	cmd := &cobra.Command{
		Use:   "consume TOPIC",
		Short: "Print the records of a topic, one JSON object a line",
		Long: "Print the records of a topic, one JSON object a line.\n\n" +
			"Reading goes on where the group left off, and at --from where it never was.\n" +
			"Records are acknowledged after they were printed (at least once): after a crash\n" +
			"or a restart of the server the last of them may be printed again, none is left\n" +
			"out. Without --group, a group of its own is made and deleted in the end.\n\n" +
			"It ends when there is nothing more, with --follow only when interrupted, and\n" +
			"after --max-records in any case. With --follow it outlives a restart of the server.",
		Example: "  ottla consume liked --max-records 10\n" +
			"  ottla consume liked --group mailer --follow | jq .value",
		Args: exactArgs("a TOPIC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic = args[0]
			return r.consume(cmd, o)
		},
	}
	r.addFlags(cmd)
	_ = cmd.PersistentFlags().MarkHidden("output") // always JSON
	flags := cmd.Flags()
	flags.StringVar(&o.group, "group", "", "consumer `GROUP` to be a member of (default: one of its own)")
	flags.StringVar(&o.cluster, "cluster", "", "the topic's cluster")
	flags.StringVar(&o.from, "from", "earliest", "where a group starts: earliest, latest, milliseconds since 1970 or a time")
	flags.IntVar(&o.maxRecords, "max-records", 0, "end after so many records")
	flags.BoolVar(&o.follow, "follow", false, "wait for more records")
	flags.DurationVar(&o.wait, "wait", 2*time.Second, "how long to wait for a record before there is nothing more")
	return cmd
}

func (r *remote) consume(cmd *cobra.Command, o *consumeOptions) error {
	if o.maxRecords < 0 {
		return usageError{fmt.Errorf("--max-records %d must not be negative", o.maxRecords)}
	}
	if o.wait < time.Millisecond || o.wait > 30*time.Second {
		return usageError{fmt.Errorf("--wait %s must be from 1ms to 30s", o.wait)}
	}
	from, err := startFrom(o.from)
	if err != nil {
		return err
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	ctx, stop := r.context(cmd)
	defer stop()
	s := &consumer{p: r.p, c: c, o: o, from: from, out: bufio.NewWriterSize(r.p.stdout, 64<<10), note: newProgress(r.p, "", 0)}
	err = s.run(ctx)
	return errors.Join(err, s.leave())
}

// startFrom is the API's form of where a group starts.
func startFrom(text string) (any, error) {
	if text == "earliest" || text == "latest" {
		return text, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UnixMilli(), nil
	}
	return nil, usageError{fmt.Errorf("--from %q must be earliest, latest, milliseconds since 1970 or a time such as 2026-11-22T17:16:03Z", text)}
}

// consumer polls as a member of a group, and acknowledges what it printed.
type consumer struct {
	p    *process
	c    *apiClient
	o    *consumeOptions
	from any
	out  *bufio.Writer
	note *progress

	id      int64         // as the server assigned it, 0 before
	group   string        // as the server named it
	cursor  string        // after what was printed and is not acknowledged
	next    map[int]int64 // the same as offsets, by partition
	printed int
}

// polled is the answer to a poll. Records stay as they came, byte for byte.
type polled struct {
	ConsumerID int64             `json:"consumer_id"`
	Group      string            `json:"group"`
	Records    []json.RawMessage `json:"records"`
	Cursor     string            `json:"cursor"`
}

// run prints records until there are no more to print.
func (s *consumer) run(ctx context.Context) error {
	retry := retrier{note: s.note, follow: s.o.follow}
	for !s.done() {
		a, err := s.poll(ctx)
		if ctx.Err() != nil {
			return nil // interrupted: what was printed is acknowledged in the end
		}
		if err != nil {
			if s.lostPlace(err) {
				continue
			}
			if err := retry.failed(ctx, err); err != nil {
				return err
			}
			continue
		}
		retry.succeeded()
		s.id, s.group = a.ConsumerID, a.Group
		s.cursor, s.next = "", nil
		if len(a.Records) == 0 {
			if s.o.follow {
				continue
			}
			return nil
		}
		if err := s.print(a); err != nil {
			return err
		}
	}
	return nil
}

func (s *consumer) done() bool { return s.o.maxRecords > 0 && s.printed >= s.o.maxRecords }

// poll acknowledges what was printed and asks for more.
func (s *consumer) poll(ctx context.Context) (*polled, error) {
	limit := pollRecords
	if s.o.maxRecords > 0 {
		limit = min(limit, s.o.maxRecords-s.printed)
	}
	wait := s.o.wait
	if s.o.follow {
		wait = 10 * time.Second
	}
	fields := map[string]any{
		"topic": s.o.topic, "auto_commit": false, "max_records": limit,
		"timeout_ms": wait.Milliseconds(), "from": s.from,
	}
	if s.o.cluster != "" {
		fields["cluster"] = s.o.cluster
	}
	if s.o.group != "" {
		fields["group"] = s.o.group
	}
	if s.id != 0 {
		fields["consumer_id"] = s.id
	}
	if s.cursor != "" {
		fields["ack"] = s.cursor
	}
	text, err := body(fields)
	if err != nil {
		return nil, err
	}
	a := &polled{}
	err = s.c.do(ctx, request{method: http.MethodGet, path: "/events", body: text}, a)
	return a, err
}

// print prints records and remembers them as not acknowledged.
func (s *consumer) print(a *polled) error {
	next := map[int]int64{}
	for _, record := range a.Records {
		var at struct {
			Partition int   `json:"partition"`
			Offset    int64 `json:"offset"`
		}
		if err := decodeInto(record, &at); err != nil {
			return err
		}
		next[at.Partition] = at.Offset + 1
		_, _ = s.out.Write(record) // Flush reports it
		_ = s.out.WriteByte('\n')
	}
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	s.printed += len(a.Records)
	s.cursor, s.next = a.Cursor, next
	return nil
}

// lostPlace handles a cursor that the server no longer takes, after a
// restart or a rebalance. The offsets behind it are tried instead, so that
// nothing is printed twice if it can be helped.
func (s *consumer) lostPlace(err error) bool {
	var e *apiError
	if s.cursor == "" || !errors.As(err, &e) || e.Status != http.StatusConflict {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.commit(ctx) // without it the records are only printed again
	s.cursor, s.next = "", nil
	return true
}

// commit acknowledges by offsets.
func (s *consumer) commit(ctx context.Context) error {
	offsets := []any{}
	for partition, offset := range s.next {
		offsets = append(offsets, map[string]any{"topic": s.o.topic, "partition": partition, "offset": offset})
	}
	fields := map[string]any{"consumer_id": s.id, "group": s.group, "offsets": offsets}
	if s.o.cluster != "" {
		fields["cluster"] = s.o.cluster
	}
	text, err := body(fields)
	if err != nil {
		return err
	}
	return s.c.do(ctx, request{method: http.MethodPost, path: "/offset", body: text}, nil)
}

// leave acknowledges the last records and gives the partitions back. A group
// of its own goes with it.
func (s *consumer) leave() error {
	if s.id == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var commitErr error
	if len(s.next) > 0 && s.o.group != "" {
		if err := s.commit(ctx); err != nil {
			commitErr = fmt.Errorf("the last records were printed but not acknowledged, they will come again: %w", err)
		}
	}
	q := query("cluster", s.o.cluster)
	member := path("groups", s.group, "members", strconv.FormatInt(s.id, 10))
	if err := s.c.do(ctx, request{method: http.MethodDelete, path: member, query: q}, nil); err != nil {
		return commitErr // the lease runs out by itself
	}
	if s.o.group == "" {
		_ = s.c.do(ctx, request{method: http.MethodDelete, path: path("groups", s.group), query: q}, nil)
	}
	return commitErr
}

// retrier decides how long a command puts up with a server that is away: 30
// seconds, or for ever when it follows.
type retrier struct {
	note    *progress
	follow  bool
	reached bool // the server answered once
	since   time.Time
	wait    time.Duration
}

func (r *retrier) failed(ctx context.Context, err error) error {
	var away *unreachableError
	if !worthRetrying(err) || !r.reached && errors.As(err, &away) {
		return err // a wrong address is better told at once
	}
	now := time.Now()
	if r.since.IsZero() {
		r.since, r.wait = now, 100*time.Millisecond
		r.note.note(fmt.Sprintf("retrying: %v", err))
	}
	if !r.follow && now.Sub(r.since) > 30*time.Second {
		return err
	}
	pause(ctx, max(r.wait, retryAfter(err)))
	r.wait = min(2*r.wait, 2*time.Second)
	return nil
}

func (r *retrier) succeeded() {
	r.reached = true
	if !r.since.IsZero() {
		r.note.note("the server answers again")
		r.since = time.Time{}
	}
}
