package main

import (
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDamageOfFilesInUseIsAViolation(t *testing.T) {
	at := func(path string) string { return path + ": damaged at byte 4096: checksum\n" }
	for path, want := range map[string]string{
		"": "",
		"/d/data/default/broker-1/chaos-0/00000000000000000000.log":            "damaged",
		"/d/with space/default/broker-3/__cluster_metadata-0/0.log":            "damaged",
		"/d/data/default/broker-1/chaos-keep-2/0-4711.log":                     "damaged",
		"/d/data/default/broker-2/ledger.json":                                 "damaged",
		"/d/data/default/broker-2/chaos-0.replaced-4/00000000000000000000.log": "",
		"/d/data/default/broker-2.aside-1/chaos-0/00000000000000000000.log":    "",
	} {
		wantKind(t, checkFiles([]byte(at(path))), want)
	}
	require.Len(t, checkFiles([]byte(at("/broker-1/a-0/0.log")+at("/broker-2/a-0.replaced-1/0.log")+at("/broker-2/a-0/0.log"))), 2)
	require.Empty(t, checkFiles(nil))
}

// Damage that nobody reads is there in the end without the scrub, and a
// violation; with it, it is found and mended.
func TestDamageIsGoneAfterTheScrub(t *testing.T) {
	if testing.Short() {
		t.Skip("the first scrub takes some seconds")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "ottla")
	out, err := exec.Command("go", "build", "-o", binary, "ottla").CombinedOutput()
	require.NoError(t, err, "%s", out)
	s, err := newServer(binary, dir)
	require.NoError(t, err)
	defer s.end()
	w := &world{o: &options{binary: binary, dir: dir}, rnd: rand.New(rand.NewSource(1)), s: s, nodes: []*server{s}, rec: newRecorder(), victim: 2}
	require.NoError(t, s.start())
	require.NoError(t, w.createTopics())
	body := fmt.Appendf(nil, `{"topic":%q,"partition":0,"value":%q}`, churnTopic, strings.Repeat("x", 30000))
	for range 8 { // more than one segment of one partition
		status, a := s.call(context.Background(), http.MethodPost, "/events", nil, body)
		require.Equal(t, http.StatusOK, status, a)
	}
	verdict{w}.waitInSync()
	require.NoError(t, s.stop())
	found, err := verdict{w}.verify()
	require.NoError(t, err)
	require.Empty(t, found)

	files, err := filepath.Glob(filepath.Join(s.brokerDir(w.victim), churnTopic+"-0", "*.log"))
	require.NoError(t, err)
	require.Greater(t, len(files), 1)
	slices.Sort(files)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	text[len(text)/2] ^= 1 // in a value
	require.NoError(t, os.WriteFile(files[0], text, 0o600))
	require.NoError(t, s.start())
	verdict{w}.waitInSync()
	require.NoError(t, s.stop())
	found, err = verdict{w}.verify()
	require.NoError(t, err)
	wantKind(t, found, "damaged")

	s.scrubs = true
	require.NoError(t, s.start())
	require.Equal(t, 1, verdict{w}.waitScrubbed())
	verdict{w}.waitInSync()
	require.NoError(t, s.stop())
	found, err = verdict{w}.verify()
	require.NoError(t, err)
	require.Empty(t, found)
	require.Empty(t, w.rec.h.violations)
}
