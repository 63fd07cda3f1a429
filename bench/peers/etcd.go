package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ottla/bench"
)

// etcdMembers is the number of copies.
const etcdMembers = 3

// etcd measures puts over the JSON gateway of three members of etcd, each of which syncs
// its log: one event a request, and transactions of as many as have an answer in one piece.
func (s *suite) etcd(ctx context.Context) error {
	dir, err := os.MkdirTemp(s.o.DataDir, "peers-etcd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	var clients, peers [etcdMembers]string
	var members []string
	for i := range clients {
		if clients[i], err = freeAddr(); err != nil {
			return err
		}
		if peers[i], err = freeAddr(); err != nil {
			return err
		}
		members = append(members, fmt.Sprintf("m%d=http://%s", i, peers[i]))
	}
	var pids []int
	var started []*child
	for i := range clients {
		c, err := lookProgram("etcd", "--name", fmt.Sprintf("m%d", i), "--data-dir", filepath.Join(dir, fmt.Sprint(i)),
			"--listen-client-urls", "http://"+clients[i], "--advertise-client-urls", "http://"+clients[i],
			"--listen-peer-urls", "http://"+peers[i], "--initial-advertise-peer-urls", "http://"+peers[i],
			"--initial-cluster", strings.Join(members, ","), "--log-level", "error", "--quota-backend-bytes", "8589934592")
		if err != nil {
			return err
		}
		defer c.stop()
		pids, started = append(pids, c.pid()), append(started, c)
	}
	for i, c := range started {
		if err := c.waitFor(ctx, clients[i]); err != nil {
			return fmt.Errorf("etcd: %w", err)
		}
	}
	for _, load := range []struct {
		what                 string
		connections, records int
	}{{"single", 64, 1}, {"single", 256, 1}, {"transaction of 20", 16, 20}} {
		m, err := bench.MeasurePeerHTTP(ctx, s.o, bench.Peer{Name: "etcd gateway " + load.what, Connections: load.connections, Pids: pids},
			clients[0], etcdCalls(load.records))
		if err != nil {
			return err
		}
		s.add(m)
	}
	return nil
}

// etcdCalls are puts of a number of keys each.
func etcdCalls(records int) []bench.PeerCall {
	calls := make([]bench.PeerCall, 1000/records)
	for i := range calls {
		puts := make([]string, records)
		for k := range puts {
			n := i*records + k
			key := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "liked/user-%d", 100000+n))
			puts[k] = fmt.Sprintf(`{"key":%q,"value":%q}`, key, base64.StdEncoding.EncodeToString(payload(n)))
		}
		calls[i] = bench.PeerCall{Path: "/v3/kv/put", MediaType: mediaJSON, Body: []byte(puts[0]), Records: records, Want: `"raft_term"`}
		if records > 1 {
			calls[i].Path, calls[i].Want = "/v3/kv/txn", `"succeeded"`
			calls[i].Body = []byte(`{"success":[{"requestPut":` + strings.Join(puts, `},{"requestPut":`) + `}]}`)
		}
	}
	return calls
}
