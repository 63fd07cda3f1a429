package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ottla/client"
	"ottla/protocol"
)

// Bounds of one request of `ottla produce`.
const (
	produceRecords = 5000
	produceBytes   = 2 << 20
	// produceLinger is how long a record waits for others: short enough for a
	// person at a keyboard, long enough for a pipe to fill batches.
	produceLinger = 5 * time.Millisecond
	// forever is longer than any outage; --retry-for decides when a batch is given
	// up, not the client.
	forever = 1000 * time.Hour
	// settling is how long an interrupted command waits for what is in flight.
	settling = 3 * time.Second
)

// produceOptions are the flags of `ottla produce`.
type produceOptions struct {
	topic, cluster string
	key, keyField  string
	hasKey         bool
	partition      int // -1: by key or round-robin
	records        bool
	skip           int
	retryFor       time.Duration
}

func newProduce(p *process) *cobra.Command {
	r := &remote{p: p}
	o := &produceOptions{}
	cmd := &cobra.Command{
		Use:   "produce TOPIC [FILE]",
		Short: "Send each line of FILE, or of standard input, as one record",
		Long: "Send each line of FILE, or of standard input, as the value of one record: as JSON\n" +
			"if it is JSON, else as a JSON string. Lines are sent in batches, which are committed\n" +
			"on a majority of brokers, in the order of the lines within each partition; a batch\n" +
			"that gets no answer is sent again without making duplicates. Of a FILE several\n" +
			"batches are in flight, each for other partitions. The first line that cannot be\n" +
			"written ends the command; what was sent before it is finished, and the message says\n" +
			"up to which line all is committed: --skip goes on there.\n\n" +
			"With --records each line is a whole record, as 'ottla consume' prints it: its key,\n" +
			"value, headers and timestamp are written again.",
		Example: "  echo '{\"post\":7}' | ottla produce liked --key user-42\n" +
			"  ottla produce liked --key-field user events.ndjson\n" +
			"  ottla consume liked | ottla produce liked-copy --records",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs("a TOPIC", "a FILE")(cmd, args)
			}
			return exactArgs("a TOPIC")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.p.passes()
			o.topic, o.hasKey = args[0], cmd.Flags().Changed("key")
			return r.produce(cmd, o, args[1:])
		},
	}
	r.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.key, "key", "", "key of every record, a string")
	flags.StringVar(&o.keyField, "key-field", "", "`FIELD` of each line's JSON object that becomes the key")
	flags.StringVar(&o.cluster, "cluster", "", "the topic's cluster")
	flags.IntVar(&o.partition, "partition", -1, "partition of every record (default: by key, else round-robin)")
	flags.BoolVar(&o.records, "records", false, "each line is a record as 'ottla consume' prints it")
	flags.IntVar(&o.skip, "skip", 0, "skip the first `N` lines, to go on where an earlier command ended")
	flags.DurationVar(&o.retryFor, "retry-for", time.Minute, "how long to retry a batch that the server cannot accept")
	return cmd
}

func (r *remote) produce(cmd *cobra.Command, o *produceOptions, file []string) error {
	if o.hasKey && o.keyField != "" {
		return usageError{errors.New("--key and --key-field exclude each other")}
	}
	if o.records && (o.hasKey || o.keyField != "") {
		return usageError{errors.New("--records excludes --key and --key-field: the records have keys")}
	}
	if o.skip < 0 {
		return usageError{fmt.Errorf("--skip %d must not be negative", o.skip)}
	}
	if !utf8.ValidString(o.key) {
		return usageError{errors.New("--key must be UTF-8")}
	}
	a, err := r.client()
	if err != nil {
		return err
	}
	in, size, err := r.p.openInput(file)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read from
	ctx, stop := r.context(cmd)
	defer stop()
	place := placement{lanes: 1}
	if size > 0 {
		place = placeFile(ctx, a, o)
	}
	s, err := newSender(r.p, a, o, size, place)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.run(ctx, in); err != nil {
		return err
	}
	return r.produced(o.topic, s.tally.committed, time.Since(began))
}

// produced prints how many records are committed, and how fast if there was time to
// wonder.
func (r *remote) produced(topic string, n int, took time.Duration) error {
	if r.output == "json" {
		_, err := fmt.Fprintf(r.p.stdout, "{\"topic\":%s,\"committed\":true,\"count\":%d}\n",
			protocol.AppendJSONString(nil, topic), n)
		return err
	}
	rate := ""
	if took >= time.Second {
		rate = fmt.Sprintf(" in %s, %.0f/s", took.Round(100*time.Millisecond), float64(n)/took.Seconds())
	}
	_, err := fmt.Fprintf(r.p.stdout, "%s committed to %s%s\n", count(n, "record"), printable(topic), rate)
	return err
}

// sender hands lines to a producer, which writes them in order in each partition and
// stops at the first that cannot be written. It knows up to which line everything is
// committed, so that a user can continue after it.
type sender struct {
	api      *api
	o        *produceOptions
	producer *client.Producer
	retries  *retries
	progress *progress
	place    placement
	lines    int   // read
	bytes    int64 // read
	tally    tally
}

func newSender(p *process, a *api, o *produceOptions, size int64, place placement) (*sender, error) {
	s := &sender{api: a, o: o, place: place, progress: newProgress(p, "records", size), tally: tally{upTo: o.skip}}
	s.retries = &retries{api: a, note: s.progress.note, limit: o.retryFor}
	var err error
	s.producer, err = a.NewProducer(o.topic, client.ProducerConfig{
		Cluster: o.cluster, ProducerID: "cli-" + rand.Text(), Lanes: place.lanes, StopOnError: true,
		BatchBytes: produceBytes, BatchRecords: produceRecords, MaxInFlightBytes: int64(2 * place.lanes * produceBytes), Linger: cmp.Or(p.linger, produceLinger),
		RequestTimeout: callTimeout, DeliveryTimeout: forever, Retry: s.retries.again, RetryBackoff: retryBackoff,
	})
	return s, err
}

// run sends everything that in holds.
func (s *sender) run(ctx context.Context, in io.Reader) error {
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.sendAll(sending, cancel, in)
	ending, done := context.WithCancel(context.Background())
	defer done()
	if ctx.Err() != nil {
		s.retries.stop()
		ending, done = context.WithTimeout(ending, settling)
		defer done()
	} else {
		context.AfterFunc(ctx, func() { // interrupted only now
			s.retries.stop()
			time.AfterFunc(settling, done)
		})
	}
	_ = s.producer.Close(ending) // the callbacks say what became of each record
	s.progress.end()
	t := &s.tally
	switch {
	case ctx.Err() != nil && (t.failure != nil || t.upTo < s.lines):
		return fmt.Errorf("interrupted: lines up to %d are committed, those up to %d may be; --skip %d goes on, and may write some again", t.upTo, s.lines, t.upTo)
	case ctx.Err() != nil && err != nil: // perhaps among the lines that were to be skipped
		return fmt.Errorf("interrupted after %s, which are committed; --skip %d goes on", count(t.upTo, "line"), t.upTo)
	case t.failure != nil:
		err = s.failed()
	}
	switch {
	case err == nil:
		return nil
	case t.ahead > 0:
		return fmt.Errorf("%w; lines up to %d are committed, and %d behind them", err, t.upTo, t.ahead)
	}
	return fmt.Errorf("%w; %s committed before", err, count(t.committed, "record"))
}

// sendAll sends each line until the input ends, a line is no valid record, or ctx
// ends because an earlier record was not written.
func (s *sender) sendAll(ctx context.Context, cancel func(), in io.Reader) error {
	lines := make(chan line, 2*produceRecords)
	go readLines(ctx, in, lines)
	for {
		var l line
		select {
		case l = <-lines:
		case <-ctx.Done():
			return ctx.Err()
		}
		if errors.Is(l.err, io.EOF) {
			return nil
		}
		if l.err != nil {
			return l.err
		}
		s.lines++
		s.bytes += int64(len(l.text)) + 1
		if s.lines <= s.o.skip {
			s.progress.skip(s.bytes)
			continue
		}
		record, err := s.o.record(l.text)
		if err == nil {
			err = s.send(ctx, l.text, record, cancel)
		}
		if err != nil {
			s.lines-- // it is not among those that are sent
			return fmt.Errorf("line %d: %w", s.lines+1, err)
		}
	}
}

// send hands over one line. One that might be refused goes alone.
func (s *sender) send(ctx context.Context, text []byte, record client.Record, cancel func()) error {
	lane := s.place.place(&record, s.lines)
	risky := s.place.risky(text, &record)
	if risky {
		if err := s.producer.Flush(ctx); err != nil {
			return err
		}
		if s.tally.failed() {
			return context.Canceled
		}
	}
	if err := s.producer.Send(ctx, record, s.result(s.lines, lane, s.bytes, cancel)); err != nil {
		return err
	}
	if risky {
		return s.producer.Flush(ctx)
	}
	return nil
}

// result is the callback of the record of a line.
func (s *sender) result(line, lane int, bytes int64, cancel func()) func(client.Ack, error) {
	return func(_ client.Ack, err error) {
		if err != nil {
			if s.tally.fail(line, lane, err) {
				cancel()
			}
			return
		}
		committed := s.tally.commit(line)
		s.retries.succeeded()
		s.progress.update(committed, bytes)
	}
}

// failed is the error that says which line was not committed. The server refuses
// whole batches; if it names the record, that is the line, else the first line of
// the batch.
func (s *sender) failed() error {
	err, lines := s.tally.failure, s.tally.lines
	var said *client.Error
	if errors.As(err, &said) {
		if i, ok := said.Record(); ok && i < len(lines) {
			named := *said
			named.Message = batchPosition.ReplaceAllString(said.Message, "")
			return fmt.Errorf("line %d: %w", lines[i], s.api.explain(&named))
		}
	}
	if len(lines) == 1 {
		return fmt.Errorf("line %d: %w", lines[0], s.api.explain(err))
	}
	return fmt.Errorf("line %d and after: %w", lines[0], s.api.explain(err))
}

// batchPosition is how the server begins a message about one record of a batch.
// Its number means nothing to a user, who does not see the batches.
var batchPosition = regexp.MustCompile(`^(line|record) \d+: `)

// line is a line of input, or how the input ended.
type line struct {
	text []byte
	err  error // io.EOF at the end
}

// readLines sends each line of in without its LF, which the last may lack.
func readLines(ctx context.Context, in io.Reader, out chan<- line) {
	reader := bufio.NewReaderSize(in, 64<<10)
	for {
		text, err := reader.ReadBytes('\n')
		end := err == io.EOF && len(text) == 0
		l := line{text: bytes.TrimSuffix(text, []byte("\n"))}
		if err != nil && err != io.EOF || end {
			l.err = err
		}
		select {
		case out <- l:
		case <-ctx.Done():
			return
		}
		if l.err != nil {
			return
		}
	}
}

// record returns the record of one line.
func (o *produceOptions) record(text []byte) (client.Record, error) {
	if o.records {
		return o.wholeRecord(text)
	}
	var r client.Record
	switch {
	case o.hasKey:
		r.Key = client.StringData(o.key)
	case o.keyField != "":
		key, err := fieldOf(text, o.keyField)
		if err != nil {
			return r, err
		}
		r.Key = client.JSONData(key)
	}
	if o.partition >= 0 {
		r.Partition = &o.partition
	}
	switch {
	case isJSON(text):
		r.Value = client.JSONData(text)
	case utf8.Valid(text):
		r.Value = client.StringData(string(text))
	default:
		r.Value = client.BytesData(text)
	}
	return r, nil
}

// isJSON uses the scanner of the server, so that both agree.
func isJSON(text []byte) bool {
	r := protocol.NewJSONReader(text)
	_, ok := r.Value()
	return ok && r.End() == nil
}

// fieldOf returns a field of a JSON object, as JSON.
func fieldOf(text []byte, name string) ([]byte, error) {
	if !isJSON(text) || bytes.TrimLeft(text, " \t\r")[0] != '{' {
		return nil, fmt.Errorf("--key-field %s needs a JSON object on every line", name)
	}
	r := protocol.NewJSONReader(text)
	for r.Object(); r.Field(); {
		found := string(r.Key) == name
		if v, ok := r.Value(); ok && found {
			return v.Raw, nil
		}
	}
	return nil, fmt.Errorf("the object has no field %q for --key-field", name)
}
