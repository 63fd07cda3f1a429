package actors

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/protocol"
)

// refusedStarts is a log that gets an element for each broker that cannot start.
type refusedStarts chan struct{}

func (r refusedStarts) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("broker cannot start")) {
		r <- struct{}{}
	}
	return len(line), nil
}

// Brokers for which there was no space when the node started run once there is some.
func TestBrokersStartOnceThereIsSpace(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no device that is always full")
	}
	refused := make(refusedStarts, 100)
	o := Options{DataDir: t.TempDir(), DefaultCluster: protocol.DefaultCluster, AutoCreateTopics: true, Port: 8080, Logger: slog.New(slog.NewTextHandler(refused, nil))}
	n := startNode(t, o.DataDir)
	produce(t, n, "q", 0, "0")
	stopNode(t, n)
	var full []string
	for b := 1; b <= 3; b++ {
		full = append(full, filepath.Join(o.DataDir, "default", datadir.BrokerDirName(b), "ledger.json.tmp"))
		require.NoError(t, os.Symlink("/dev/full", full[b-1]))
	}
	n, err := Start(context.Background(), o)
	require.NoError(t, err)
	defer stopNode(t, n)
	for range full {
		select {
		case <-refused:
		case <-time.After(patience):
			t.Fatal("a broker has space")
		}
	}
	for _, path := range full {
		require.NoError(t, os.Remove(path))
	}
	awaitReady(t, n)
	require.Equal(t, []string{"0"}, fetchAll(t, n, "q", 0))
}
