package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	topic      = "github"
	partitions = 3
)

func main() {
	binary := flag.String("binary", "bin/ottla", "the ottla binary")
	input := flag.String("events", "../shared/data/github-webhooks.ndjson", "events, one JSON object a line; generated if missing")
	fleet := flag.Bool("fleet", false, "show three nodes, one of which is lost")
	serve := flag.String("serve-fleet", "", "serve three nodes until a signal, with their data below this directory")
	flag.Parse()
	var err error
	switch {
	case *serve != "":
		err = serveFleet(*binary, *serve)
	case *fleet:
		err = runFleetDemo(*binary, *input)
	default:
		err = run(*binary, *input)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(binary, input string) error {
	events, source, err := loadEvents(input)
	if err != nil {
		return err
	}
	say("%d events, %s", len(events), source)
	dir, err := os.MkdirTemp("", "ottla-demo-")
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory

	srv, err := startServer(binary, dir)
	if err != nil {
		return err
	}
	defer func() { srv.kill() }()
	say("serving on %s", srv.base)
	if err := produceAll(srv, events); err != nil {
		return err
	}
	if err := consumeAll(srv, "first", events); err != nil {
		return err
	}

	srv.kill()
	say("killed with SIGKILL")
	began := time.Now()
	if srv, err = startServer(binary, dir); err != nil {
		return err
	}
	say("started again, ready after %s", time.Since(began).Round(time.Millisecond))
	if err := consumeAll(srv, "second", events); err != nil {
		return err
	}
	if err := nothingLeft(srv, "first"); err != nil {
		return err
	}
	return grepLog(dir, events[0].Key)
}

// say prints a step.
func say(format string, args ...any) { fmt.Printf("demo: "+format+"\n", args...) }

// produceAll sends each event as one request, keyed by its repository.
func produceAll(srv *server, events []event) error {
	if err := srv.call("POST", "/topic", map[string]any{"name": topic, "partitions": partitions}, nil); err != nil {
		return err
	}
	began := time.Now()
	for i, e := range events {
		var reply struct{ Committed bool }
		err := srv.call("POST", "/events", map[string]any{
			"topic": topic, "key": e.Key, "value": e.Payload, "headers": map[string]string{"type": e.Type},
		}, &reply)
		if err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		if !reply.Committed {
			return fmt.Errorf("event %d: answered without being committed", i)
		}
	}
	elapsed := time.Since(began)
	say("produced %d events in %s, one request each, every one on disk on a majority of 3 brokers (%.2f ms each)",
		len(events), elapsed.Round(time.Millisecond), float64(elapsed.Microseconds())/1000/float64(len(events)))
	return nil
}

// consumeAll reads everything as a new group, acknowledges each batch with the
// next poll, and compares what it read with what was produced.
func consumeAll(srv *server, group string, events []event) error {
	want := map[string][]event{}
	for _, e := range events {
		want[e.Key] = append(want[e.Key], e)
	}
	got, ack := 0, ""
	for last := time.Now(); got < len(events); {
		batch, err := srv.poll(group, ack)
		if err != nil {
			return err
		}
		switch {
		case len(batch.Records) > 0:
			last = time.Now()
		case time.Since(last) < patience: // a partition without a leader is passed over
			continue
		default:
			return fmt.Errorf("group %s: only %d of %d events came back", group, got, len(events))
		}
		for _, r := range batch.Records {
			queue := want[r.Key]
			if len(queue) == 0 {
				return fmt.Errorf("group %s: unexpected event at %d-%d", group, r.Partition, r.Offset)
			}
			if string(queue[0].Payload) != string(r.Value) || queue[0].Type != r.Headers["type"] {
				return fmt.Errorf("group %s: event at %d-%d differs from what was produced", group, r.Partition, r.Offset)
			}
			want[r.Key] = queue[1:]
			got++
		}
		ack = batch.Cursor
	}
	// This poll acknowledges the last batch.
	if _, err := srv.poll(group, ack); err != nil {
		return err
	}
	say("group %q consumed %d events: each byte for byte as produced, in order per key", group, got)
	return nil
}

// nothingLeft checks that a group's offsets survived the kill.
func nothingLeft(srv *server, group string) error {
	batch, err := srv.poll(group, "")
	if err != nil {
		return err
	}
	if len(batch.Records) > 0 {
		return fmt.Errorf("group %s: %d events delivered twice", group, len(batch.Records))
	}
	say("group %q still has its offsets: nothing is delivered twice", group)
	return nil
}

// grepLog searches one broker's log files for a key with grep while they are in
// use.
func grepLog(dir, key string) error {
	files, err := filepath.Glob(filepath.Join(dir, "default", "broker-1", topic+"-*", "*.log"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no log files below %s: %w", dir, err)
	}
	out, err := exec.Command("grep", append([]string{"-h", ` "` + key + `" `}, files...)...).Output()
	if err != nil {
		return fmt.Errorf("grep finds no %q in the log: %w", key, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	say(`grep -h ' "%s" ' broker-1/%s-*/*.log finds %d lines in the live log, the first one:`, key, topic, len(lines))
	first := lines[0]
	if len(first) > 160 {
		first = first[:160] + " ..."
	}
	fmt.Println(first)
	return nil
}
