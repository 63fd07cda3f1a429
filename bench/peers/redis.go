package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"ottla/bench"
)

// redis measures single events over HTTP: webdis in front of Redis, XADD to
// one stream.
func (s *suite) redis(ctx context.Context) error {
	for _, fsync := range []string{"always", "everysec"} {
		for _, connections := range []int{64, 256} {
			if err := s.redisWith(ctx, fsync, connections); err != nil {
				return err
			}
		}
	}
	return nil
}

// redisWith starts new processes of both: webdis 0.1.9 was seen to send answers to
// requests of closed connections on later connections.
func (s *suite) redisWith(ctx context.Context, fsync string, connections int) error {
	dir, err := os.MkdirTemp(s.o.DataDir, "peers-redis-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	redisAddr, err := freeAddr()
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(redisAddr)
	if err != nil {
		return err
	}
	redis, err := startChild(ctx, redisAddr, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir,
		"--appendonly", "yes", "--appendfsync", fsync, "--save", "", "--logfile", filepath.Join(dir, "redis.log"))
	if err != nil {
		return err
	}
	defer redis.stop()
	webdisAddr, config, err := webdisConfig(dir, port)
	if err != nil {
		return err
	}
	webdis, err := startChild(ctx, webdisAddr, "webdis", config)
	if err != nil {
		return err
	}
	defer webdis.stop()

	calls := make([]bench.PeerCall, 1000)
	for i := range calls {
		body := "XADD/liked/*/key/user-" + strconv.Itoa(100000+i) + "/value/" + string(payload(i))
		calls[i] = bench.PeerCall{Path: "/", MediaType: "application/json", Body: []byte(body), Records: 1, Want: `{"XADD":"`}
	}
	m, err := bench.MeasurePeerHTTP(ctx, s.o, bench.Peer{
		Name: "webdis XADD single, appendfsync " + fsync, Connections: connections, Pids: []int{redis.pid(), webdis.pid()},
	}, webdisAddr, calls)
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
