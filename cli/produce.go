package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

// Bounds of one request of `ottla produce`.
const (
	produceRecords = 1000
	produceBytes   = 1 << 20
	// produceLinger is how long a batch waits for another line, so that a
	// person at a keyboard and a pipe both get what they expect.
	produceLinger = 5 * time.Millisecond
)

// produceOptions are the flags of `ottla produce`.
type produceOptions struct {
	topic, cluster string
	key, keyField  string
	hasKey         bool
	partition      int // -1: by key or round-robin
	retryFor       time.Duration
}

func newProduce(p *process) *cobra.Command {
	r := &remote{p: p}
	o := &produceOptions{}
	cmd := &cobra.Command{
		Use:   "produce TOPIC [FILE]",
		Short: "Send each line of FILE, or of standard input, as one record",
		Long: "Send each line of FILE, or of standard input, as one record's value: as JSON\n" +
			"where it is JSON, else as a JSON string. Lines go in batches; each batch is\n" +
			"committed on a majority of brokers before the next one goes, and one that gets\n" +
			"no answer is sent again without making duplicates.",
		Example: "  echo '{\"post\":7}' | ottla produce liked --key user-42\n" +
			"  ottla produce liked --key-field user events.ndjson",
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
	flags.StringVar(&o.keyField, "key-field", "", "`FIELD` of each line's JSON object that is its key")
	flags.StringVar(&o.cluster, "cluster", "", "the topic's cluster")
	flags.IntVar(&o.partition, "partition", -1, "partition of every record (default: by key, else in turn)")
	flags.DurationVar(&o.retryFor, "retry-for", time.Minute, "how long to retry a batch that the server cannot take")
	return cmd
}

func (r *remote) produce(cmd *cobra.Command, o *produceOptions, file []string) error {
	if o.hasKey && o.keyField != "" {
		return usageError{errors.New("--key and --key-field exclude each other")}
	}
	if !utf8.ValidString(o.key) {
		return usageError{errors.New("--key must be UTF-8")}
	}
	c, err := r.client()
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
	s := &producer{
		r: r, c: c, o: o, id: "cli-" + randomID(), started: time.Now(),
		progress: newProgress(r.p, "records", size),
	}
	err = s.run(ctx, in)
	s.progress.end()
	if err != nil {
		return fmt.Errorf("%w; %s committed before", interrupted(err), count(s.committed, "record"))
	}
	return s.report()
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// producer sends lines in batches, one request at a time.
type producer struct {
	r        *remote
	c        *apiClient
	o        *produceOptions
	id       string
	started  time.Time
	progress *progress

	batch     bytes.Buffer // NDJSON
	records   int          // in batch
	first     int          // line number of the batch's first record
	lines     int          // read
	read      int64        // bytes read
	sequence  int64
	committed int
}

// line is a line of input, or how the input ended.
type line struct {
	text []byte
	err  error // io.EOF at the end
}

// run sends everything that in holds.
func (s *producer) run(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan line, 2*produceRecords)
	go readLines(ctx, in, lines)
	linger := time.NewTimer(produceLinger)
	defer linger.Stop()
	for {
		var l line
		if s.records == 0 {
			select {
			case l = <-lines:
			case <-ctx.Done():
				return ctx.Err()
			}
		} else {
			linger.Reset(produceLinger)
			select {
			case l = <-lines:
			case <-linger.C:
				if err := s.send(ctx); err != nil {
					return err
				}
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if l.err != nil {
			err := s.send(ctx)
			if !errors.Is(l.err, io.EOF) {
				err = errors.Join(err, l.err)
			}
			return err
		}
		if err := s.add(ctx, l.text); err != nil {
			return err
		}
	}
}

// readLines sends each line without its LF; the last one needs none.
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

// add puts one line into the batch, and sends it when it is full.
func (s *producer) add(ctx context.Context, text []byte) error {
	s.lines++
	s.read += int64(len(text)) + 1
	if s.records > 0 && s.batch.Len()+len(text) > produceBytes {
		if err := s.send(ctx); err != nil {
			return err
		}
	}
	before := s.batch.Len()
	if err := s.encode(text); err != nil {
		s.batch.Truncate(before)
		return errors.Join(s.send(ctx), fmt.Errorf("line %d: %w", s.lines, err))
	}
	if s.records == 0 {
		s.first = s.lines
	}
	if s.records++; s.records == produceRecords {
		return s.send(ctx)
	}
	return nil
}

// encode appends the record of one line to the batch.
func (s *producer) encode(text []byte) error {
	b := s.batch.AvailableBuffer()
	b = append(b, '{')
	switch {
	case s.o.hasKey:
		b = append(b, `"key":`...)
		b = protocol.AppendJSONString(b, s.o.key)
		b = append(b, ',')
	case s.o.keyField != "":
		key, err := fieldOf(text, s.o.keyField)
		if err != nil {
			return err
		}
		b = append(b, `"key":`...)
		b = append(b, key...)
		b = append(b, ',')
	}
	if s.o.partition >= 0 {
		b = fmt.Appendf(b, `"partition":%d,`, s.o.partition)
	}
	switch {
	case isJSON(text):
		b = append(b, `"value":`...)
		b = append(b, text...)
	case utf8.Valid(text):
		b = append(b, `"value":`...)
		b = protocol.AppendJSONString(b, string(text))
	default:
		b = append(b, `"value_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, text)
		b = append(b, '"')
	}
	s.batch.Write(append(b, '}', '\n'))
	return nil
}

// isJSON asks the scanner that the server uses, so that both agree.
func isJSON(text []byte) bool {
	r := protocol.NewJSONReader(text)
	_, ok := r.Value()
	return ok && r.End() == nil
}

// fieldOf returns a field of a JSON object, as JSON.
func fieldOf(text []byte, name string) ([]byte, error) {
	if !isJSON(text) || bytes.TrimLeft(text, " \t\r")[0] != '{' {
		return nil, fmt.Errorf("--key-field %s needs a JSON object, the line is none", name)
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

func (s *producer) report() error {
	if s.r.output == "json" {
		_, err := fmt.Fprintf(s.r.p.stdout, "{\"topic\":%s,\"committed\":true,\"count\":%d}\n",
			protocol.AppendJSONString(nil, s.o.topic), s.committed)
		return err
	}
	_, err := fmt.Fprintf(s.r.p.stdout, "%s committed to %s\n", count(s.committed, "record"), s.o.topic)
	return err
}
