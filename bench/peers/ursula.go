package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ursulaNodes is the number of copies.
const ursulaNodes = 3

const ursulaSettings = `[server]
listen = "%s"
admin_listen = "%s"
cluster_id = "bench"
[raft]
node_id = %d
group_count = 16
[raft.wal]
path = "%s"
fsync = "%s"
`

// ursula measures three nodes of Ursula, first as they sync each batch of appends, then
// as they do by default, without a sync.
func (s *suite) ursula(ctx context.Context) error {
	for _, mode := range []struct{ name, fsync string }{{"Ursula, synced", "always"}, {"Ursula, page cache", "never"}} {
		start := func(dir string) (addr string, nodes []*child, err error) { return startUrsula(ctx, dir, mode.fsync) }
		if err := s.streamsPeer(ctx, mode.name, start); err != nil {
			return err
		}
	}
	return nil
}

func startUrsula(ctx context.Context, dir, fsync string) (addr string, nodes []*child, err error) {
	var addrs, admins [ursulaNodes]string
	peers := ""
	for i := range addrs {
		if addrs[i], err = freeAddr(); err != nil {
			return "", nil, err
		}
		if admins[i], err = freeAddr(); err != nil {
			return "", nil, err
		}
		peers += fmt.Sprintf("[[raft.peers]]\nnode_id = %d\nurl = \"http://%s\"\n", i+1, addrs[i])
	}
	for i := range addrs {
		settings, data := filepath.Join(dir, fmt.Sprintf("%d.toml", i+1)), filepath.Join(dir, fmt.Sprint(i+1))
		text := fmt.Sprintf(ursulaSettings, addrs[i], admins[i], i+1, data, fsync) + peers
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			return "", nodes, err
		}
		c, err := lookProgram("ursula", "server", "--config", settings)
		if err != nil {
			return "", nodes, err
		}
		nodes = append(nodes, c)
	}
	for i, c := range nodes {
		if err := c.waitFor(ctx, addrs[i]); err != nil {
			return "", nodes, fmt.Errorf("ursula: %w", err)
		}
	}
	return addrs[0], nodes, nil
}

// settleTime is how long a peer may take until it takes its first request.
const settleTime = 30 * time.Second
