package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ottla/client"
	"ottla/protocol"
)

// consumeOptions are the flags of `ottla consume`.
type consumeOptions struct {
	topics     []string
	cluster    string
	group      string
	from       string
	maxRecords int // 0: no limit
	follow     bool
	create     bool
	wait       time.Duration

	// What is printed of a record.
	keys, values bool
	format       string
	print        formatter

	// Without a group: see readPartitions.
	partition int   // -1: all
	offset    int64 // -1: not given; of the first record
	tail      int64 // 0: not given; the last records of each partition
}

// direct reports whether partitions are read by offset, without a group.
func (o *consumeOptions) direct() bool { return o.partition >= 0 || o.offset >= 0 || o.tail > 0 }

const (
	pollRecords = 500 // of one poll at most
	followWait  = 10 * time.Second

	// away is how long a command without --follow waits for a server to come back.
	away         = 30 * time.Second
	retryBackoff = 40 * time.Millisecond // at first; up to two seconds
	leaveTimeout = 10 * time.Second
)

func newConsume(p *process) *cobra.Command {
	r := &remote{p: p}
	o := &consumeOptions{}
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Print the records of topics, one JSON object a line",
		Long: "Print the records of topics, one JSON object a line, or as --values, --keys or\n" +
			"--format say. What is printed without these goes in again by\n" +
			"'ottla produce --records'. On a terminal, characters that are not printable are\n" +
			"escaped.\n\n" +
			"A group continues where it left off, and starts at --from on partitions that it\n" +
			"has never read. Records are acknowledged after they are printed (at least once):\n" +
			"after a crash or a restart of the server the last of them may be printed again,\n" +
			"but none is left out.\n\n" +
			"Without --group nothing is left behind on the server: no group and no offsets. With\n" +
			"--partition, --offset or --tail the partitions are read by offset.\n\n" +
			"The command ends when there are no more records or after --max-records. With\n" +
			"--follow it waits for more until it is interrupted, even while the server restarts.",
		Example: "  ottla consume liked --max-records 10\n" +
			"  ottla consume liked --group mailer --follow | jq .value\n" +
			"  ottla consume liked --values > liked.txt\n" +
			"  ottla consume liked --tail 10 --follow --format '%p %o %k %v\\n'\n" +
			"  ottla consume orders --from -1h | ottla produce orders-copy --records",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactArgs("a TOPIC")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.p.passes()
			o.topics = args
			return o.run(cmd, r)
		},
	}
	r.addFlags(cmd)
	_ = cmd.PersistentFlags().MarkHidden("output") // always JSON
	flags := cmd.Flags()
	flags.StringVar(&o.group, "group", "", "consumer `GROUP` to join (default: none, nothing is left behind)")
	flags.StringVar(&o.cluster, "cluster", "", "the topic's cluster")
	flags.StringVar(&o.from, "from", "earliest", "where to start, or where a group starts: earliest, latest, milliseconds since 1970, "+pointsInTime)
	flags.IntVar(&o.maxRecords, "max-records", 0, "end after this many records")
	flags.BoolVar(&o.follow, "follow", false, "wait for more records")
	flags.BoolVar(&o.values, "values", false, "print only the value of each record")
	flags.BoolVar(&o.keys, "keys", false, "print only the key of each record; with --values key, tab, value")
	flags.StringVar(&o.format, "format", "", "`FORMAT` of a record: %t topic, %p partition, %o offset, %k key, %v value, %h headers, %T milliseconds, \\n, \\t")
	flags.IntVar(&o.partition, "partition", -1, "read only this partition, without a group")
	flags.Int64Var(&o.offset, "offset", -1, "start at this offset, without a group")
	flags.Int64Var(&o.tail, "tail", 0, "start at the last `N` records of each partition, without a group")
	flags.BoolVar(&o.create, "create", false, "create the topic if it does not exist")
	flags.DurationVar(&o.wait, "wait", 2*time.Second, "how long to wait for another record before ending")
	return cmd
}

func (o *consumeOptions) run(cmd *cobra.Command, r *remote) error {
	if o.maxRecords < 0 {
		return usageError{fmt.Errorf("--max-records %d must not be negative", o.maxRecords)}
	}
	if o.wait < time.Millisecond || o.wait > 30*time.Second {
		return usageError{fmt.Errorf("--wait %s must be from 1ms to 30s", o.wait)}
	}
	from, err := startFrom(o.from, time.Now())
	if err != nil {
		return err
	}
	if o.print, err = newFormatter(o.keys, o.values, o.format); err != nil {
		return err
	}
	if o.direct() {
		if o.group != "" || cmd.Flags().Changed("from") || o.create || o.offset >= 0 && o.tail > 0 {
			return usageError{errors.New("--partition, --offset and --tail read without a group: they exclude --group, --from and --create, and --offset excludes --tail")}
		}
	}
	a, err := r.client()
	if err != nil {
		return err
	}
	ctx, stop := r.context(cmd)
	defer stop()
	if o.direct() {
		return readPartitions(ctx, r.p, a, o)
	}
	if o.group == "" {
		return readTopics(ctx, r.p, a, o, from)
	}
	s, err := newReader(r.p, a, o, from)
	if err != nil {
		return err
	}
	defer s.note.end()
	return errors.Join(unlessClosed(s.run(ctx)), s.leave())
}

// startFrom returns a value of --from as the API expects it.
func startFrom(text string, now time.Time) (string, error) {
	if text == "earliest" || text == "latest" {
		return text, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return text, nil
	}
	if t, ok := parseTime(text, now); ok {
		return strconv.FormatInt(t.UnixMilli(), 10), nil
	}
	return "", usageError{fmt.Errorf("--from %q must be earliest, latest, milliseconds since 1970, %s", text, pointsInTime)}
}

// reader prints the records of a consumer and acknowledges what it printed.
type reader struct {
	api      *api
	o        *consumeOptions
	consumer *client.Consumer
	retries  *retries
	out      *printer
	note     *progress
	printed  int
}

func newReader(p *process, a *api, o *consumeOptions, from string) (*reader, error) {
	s := &reader{api: a, o: o, out: newPrinter(p, o)}
	s.note = s.out.progress
	s.retries = &retries{api: a, note: s.note.note, limit: away}
	wait := o.wait
	if o.follow {
		s.retries.limit, wait = forever, followWait
	}
	var err error
	s.consumer, err = a.NewConsumer(client.ConsumerConfig{
		Cluster: o.cluster, Group: o.group, Topics: o.topics, AutoCreate: o.create, From: from,
		MaxRecords: pollRecords, Wait: wait, Retry: s.retries.again, RetryBackoff: retryBackoff,
		OutOfRange: s.noteGap(),
	})
	return s, err
}

// noteGap returns what says once of each partition that its records were removed
// before they were read.
func (s *reader) noteGap() func(protocol.Gap) {
	said := map[protocol.TopicPartition]bool{}
	return func(g protocol.Gap) {
		at := protocol.TopicPartition{Topic: g.Topic, Partition: g.Partition}
		if !said[at] {
			said[at] = true
			s.note.note(fmt.Sprintf("partition %d of %s is not read: its records from %d to %d were removed by retention; move the group with 'ottla group seek'",
				g.Partition, g.Topic, g.Asked, g.Earliest-1))
		}
	}
}

// run prints records until there are no more, or --max-records are printed.
func (s *reader) run(ctx context.Context) error {
	for s.o.maxRecords == 0 || s.printed < s.o.maxRecords {
		limit := 0
		if s.o.maxRecords > 0 {
			limit = s.o.maxRecords - s.printed
		}
		batch, err := s.consumer.TryPoll(ctx, limit)
		if ctx.Err() != nil {
			return nil // interrupted: leave acknowledges what was printed
		}
		if err != nil {
			return s.api.explain(err)
		}
		if s.retries.succeeded() {
			s.note.note("the server answers again")
		}
		if len(batch) == 0 && !s.o.follow {
			return nil
		}
		if err := s.print(batch); err != nil {
			s.consumer.Discard(ctx)
			return err
		}
	}
	return nil
}

// print prints records.
func (s *reader) print(batch []client.Message) error {
	if err := s.out.print(batch); err != nil {
		return err
	}
	s.printed += len(batch)
	return nil
}

// leave acknowledges the last records and leaves the group. It has its own context,
// because that of the command may have ended.
func (s *reader) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	err := s.consumer.Commit(ctx)
	if err != nil {
		err = fmt.Errorf("the last records were printed but not acknowledged, they will come again: %w", s.api.explain(err))
		s.consumer.Discard(ctx)
	}
	_ = s.consumer.Close(ctx) // if it fails, the lease expires
	return err
}
