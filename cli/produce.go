package cli

import (
	"bufio"
	"bytes"
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
	produceRecords = 1000
	produceBytes   = 1 << 20
	// produceLinger is how long a record waits for others: short enough for a
	// person at a keyboard, long enough for a pipe to fill batches.
	produceLinger = 5 * time.Millisecond
	// forever is longer than any outage; --retry-for decides when a batch is given
	// up, not the client.
	forever = 1000 * time.Hour
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
			"if it is JSON, else as a JSON string. Lines are sent in batches. Each batch is\n" +
			"committed on a majority of brokers before the next one is sent, and a batch that\n" +
			"gets no answer is sent again without making duplicates. The first line that\n" +
			"cannot be written ends the command; nothing after it is written.\n\n" +
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
	s, err := newSender(r.p, a, o, size)
	if err != nil {
		return err
	}
	if err := s.run(ctx, in); err != nil {
		return err
	}
	return r.produced(o.topic, s.committed)
}

// produced prints how many records are committed.
func (r *remote) produced(topic string, n int) error {
	if r.output == "json" {
		_, err := fmt.Fprintf(r.p.stdout, "{\"topic\":%s,\"committed\":true,\"count\":%d}\n",
			protocol.AppendJSONString(nil, topic), n)
		return err
	}
	_, err := fmt.Fprintf(r.p.stdout, "%s committed to %s\n", count(n, "record"), printable(topic))
	return err
}

// sender hands lines to a producer with one lane, which writes them in order and
// stops at the first that cannot be written. So what is committed is always a
// beginning of the input, and a user can continue after it.
type sender struct {
	api      *api
	o        *produceOptions
	producer *client.Producer
	retries  *retries
	progress *progress
	lines    int   // read
	bytes    int64 // read

	// The fields below belong to the producer's callbacks until it is closed.
	committed int
	failedAt  int   // first line that is not committed; 0: none
	failure   error // why
}

func newSender(p *process, a *api, o *produceOptions, size int64) (*sender, error) {
	s := &sender{api: a, o: o, progress: newProgress(p, "records", size)}
	s.retries = &retries{api: a, note: s.progress.note, limit: o.retryFor}
	var err error
	s.producer, err = a.NewProducer(o.topic, client.ProducerConfig{
		Cluster: o.cluster, ProducerID: "cli-" + rand.Text(), Lanes: 1, StopOnError: true,
		BatchBytes: produceBytes, BatchRecords: produceRecords, MaxInFlightBytes: 2 * produceBytes, Linger: produceLinger,
		RequestTimeout: callTimeout, DeliveryTimeout: forever, Retry: s.retries.again, RetryBackoff: retryBackoff,
	})
	return s, err
}

// run sends everything that in holds.
func (s *sender) run(ctx context.Context, in io.Reader) error {
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.sendAll(sending, cancel, in)
	_ = s.producer.Close(ctx) // the callbacks say what became of each record
	s.progress.end()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted after %d of %s; the batch in flight may be committed too", s.committed, count(s.lines, "record"))
	case s.failure != nil:
		err = s.failed()
	}
	if err != nil {
		return fmt.Errorf("%w; %s committed before", err, count(s.committed, "record"))
	}
	return nil
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
			continue
		}
		record, err := s.o.record(l.text)
		if err == nil {
			err = s.producer.Send(ctx, record, s.result(s.lines, s.bytes, cancel))
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", s.lines, err)
		}
	}
}

// result is the callback of the record of a line.
func (s *sender) result(line int, bytes int64, cancel func()) func(client.Ack, error) {
	return func(_ client.Ack, err error) {
		switch {
		case err == nil:
			s.committed++
			s.retries.succeeded()
			s.progress.update(s.committed, bytes)
		case s.failure == nil:
			s.failedAt, s.failure = line, err
			cancel()
		}
	}
}

// failed is the error that says which line was not committed. The server refuses
// whole batches; if it names the record, that is the line, else the first line of
// the batch.
func (s *sender) failed() error {
	err := s.failure
	var said *client.Error
	if errors.As(err, &said) {
		if i, ok := said.Record(); ok {
			named := *said
			named.Message = batchPosition.ReplaceAllString(said.Message, "")
			return fmt.Errorf("line %d: %w", s.failedAt+i, s.api.explain(&named))
		}
	}
	if s.failedAt == s.lines {
		return fmt.Errorf("line %d: %w", s.failedAt, s.api.explain(err))
	}
	return fmt.Errorf("line %d and after: %w", s.failedAt, s.api.explain(err))
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
