package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"ottla/bench"
)

// redis measures single events over HTTP: webdis in front of Redis, XADD to one stream; and
// reads of groups.
func (s *suite) redis(ctx context.Context) error {
	for _, fsync := range []string{"always", "everysec"} {
		for _, connections := range []int{64, 256} {
			if err := s.redisWith(ctx, fsync, connections); err != nil {
				return err
			}
		}
		if err := s.redisGroupReads(ctx, fsync); err != nil {
			return err
		}
	}
	return nil
}

func addCalls() []bench.PeerCall {
	calls := make([]bench.PeerCall, 1000)
	for i := range calls {
		body := "XADD/liked/*/key/user-" + strconv.Itoa(100000+i) + "/value/" + string(payload(i))
		calls[i] = bench.PeerCall{Path: "/", MediaType: "application/json", Body: []byte(body), Records: 1, Want: `{"XADD":"`}
	}
	return calls
}

// redisGroups is how many groups read, each on a connection.
const redisGroups = 64

// redisGroupReads measures reads of one entry by groups, whose positions are moved past it
// before the answer (NOACK): what poll-commit is for Ottla. They go to Redis itself, in its
// own protocol: webdis 0.1.9 does not render what XREADGROUP answers.
func (s *suite) redisGroupReads(ctx context.Context, fsync string) error {
	redis, addr, remove, err := s.startRedis(ctx, fsync)
	if err != nil {
		return err
	}
	defer remove()
	if err := fillStream(ctx, addr); err != nil {
		return err
	}
	m, err := bench.MeasurePeer(ctx, s.o, bench.Peer{
		Name: "Redis XREADGROUP of one, appendfsync " + fsync, Connections: redisGroups, Pids: []int{redis.pid()},
	}, groupReaders(addr))
	if err != nil {
		return err
	}
	s.add(m)
	return nil
}

func groupReaders(addr string) func(context.Context, bench.Counter) error {
	return func(ctx context.Context, c bench.Counter) error {
		var wg sync.WaitGroup
		for i := range redisGroups {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err != nil {
				return ignoreEnd(ctx, err)
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			wg.Go(func() {
				defer stop()
				if err := readGroup(ctx, conn, fmt.Sprintf("XREADGROUP GROUP g%d c COUNT 1 NOACK STREAMS liked >\r\n", i), c); err != nil && ctx.Err() == nil {
					c.Failed(err)
				}
			})
		}
		wg.Wait()
		return nil
	}
}

func readGroup(ctx context.Context, conn net.Conn, command string, c bench.Counter) error {
	in := bufio.NewReader(conn)
	for ctx.Err() == nil {
		start := time.Now()
		if _, err := io.WriteString(conn, command); err != nil {
			return err
		}
		texts, err := skipReply(in)
		if err != nil {
			return err
		}
		if texts != 6 { // the stream, the entry's id, two names and two values
			return fmt.Errorf("an answer of %d texts: the stream has ended", texts)
		}
		c.Done(time.Since(start), 1)
	}
	return nil
}

// skipReply reads a reply and counts the texts in it.
func skipReply(in *bufio.Reader) (texts int, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '-':
		return 0, errors.New(strings.TrimSpace(line))
	case '$':
		_, err = in.Discard(n + 2)
		return 1, err
	case '*':
		for range n {
			more, err := skipReply(in)
			if err != nil {
				return 0, err
			}
			texts += more
		}
	}
	return texts, nil
}

// fillStream makes a stream with entries for a run, and its groups, which begin with the
// first one.
func fillStream(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("fill the stream: %w", err)
	}
	defer conn.Close() //nolint:errcheck // all answers have been read
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	const answers = preloaded + redisGroups
	failed := make(chan error, 1)
	go func() {
		for range answers {
			if _, err := skipReply(in); err != nil {
				failed <- fmt.Errorf("fill the stream: %w", err)
				return
			}
		}
		failed <- nil
	}()
	for i := range preloaded {
		key, value := strconv.Itoa(100000+i%1000), string(payload(i))
		_, _ = fmt.Fprintf(out, "*7\r\n$4\r\nXADD\r\n$5\r\nliked\r\n$1\r\n*\r\n$3\r\nkey\r\n$%d\r\n%s\r\n$5\r\nvalue\r\n$%d\r\n%s\r\n", len(key), key, len(value), value)
	}
	for i := range redisGroups {
		_, _ = fmt.Fprintf(out, "XGROUP CREATE liked g%d 0\r\n", i)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("fill the stream: %w", err)
	}
	return <-failed
}

// startRedis starts Redis on a fresh directory. remove stops it.
func (s *suite) startRedis(ctx context.Context, fsync string) (redis *child, addr string, remove func(), err error) {
	dir, err := os.MkdirTemp(s.o.DataDir, "peers-redis-")
	if err != nil {
		return nil, "", nil, err
	}
	if addr, err = freeAddr(); err != nil {
		return nil, "", nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, "", nil, err
	}
	redis, err = startChild(ctx, addr, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir,
		"--appendonly", "yes", "--appendfsync", fsync, "--save", "", "--logfile", filepath.Join(dir, "redis.log"))
	if err != nil {
		return nil, "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return redis, addr, func() {
		redis.stop()
		_ = os.RemoveAll(dir)
	}, nil
}

// redisWith starts new processes of both: webdis 0.1.9 was seen to send answers to
// requests of closed connections on later connections.
func (s *suite) redisWith(ctx context.Context, fsync string, connections int) error {
	redis, addr, remove, err := s.startRedis(ctx, fsync)
	if err != nil {
		return err
	}
	defer remove()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.o.DataDir, "peers-webdis-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	webdisAddr, config, err := webdisConfig(dir, port)
	if err != nil {
		return err
	}
	webdis, err := startChild(ctx, webdisAddr, "webdis", config)
	if err != nil {
		return err
	}
	defer webdis.stop()

	m, err := bench.MeasurePeerHTTP(ctx, s.o, bench.Peer{
		Name: "webdis XADD single, appendfsync " + fsync, Connections: connections, Pids: []int{redis.pid(), webdis.pid()},
	}, webdisAddr, addCalls())
	if err != nil {
		return err
	}
	s.add(m)
	return nil
}

// webdisConfig writes the configuration of webdis: two threads, for the two cores
// where this usually runs, and persistent connections to Redis.
func webdisConfig(dir, redisPort string) (addr, path string, err error) {
	if addr, err = freeAddr(); err != nil {
		return "", "", err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", "", err
	}
	httpPort, err := strconv.Atoi(port)
	if err != nil {
		return "", "", err
	}
	toRedis, err := strconv.Atoi(redisPort)
	if err != nil {
		return "", "", err
	}
	text, err := json.Marshal(map[string]any{
		"redis_host": "127.0.0.1", "redis_port": toRedis, "http_host": "127.0.0.1", "http_port": httpPort,
		"threads": 2, "pool_size": 20, "daemonize": false, "verbosity": 1, "logfile": filepath.Join(dir, "webdis.log"),
		"acl": []any{map[string]any{"enabled": []string{"XADD"}}},
	})
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(dir, "webdis.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", "", fmt.Errorf("configure webdis: %w", err)
	}
	return addr, path, nil
}
