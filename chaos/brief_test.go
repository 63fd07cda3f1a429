package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/chaos/intercept"
)

func TestMain(m *testing.M) {
	intercept.Main()
	os.Exit(m.Run())
}

// A few seconds of all kinds of harm that are over quickly; make chaos has the
// rest.
func TestBriefCampaign(t *testing.T) {
	if testing.Short() {
		t.Skip("a campaign takes some seconds")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "ottla")
	out, err := exec.Command("go", "build", "-o", binary, "ottla").CombinedOutput()
	require.NoError(t, err, "%s", out)
	var said strings.Builder
	res, err := runCampaign(&options{
		binary: binary, campaign: "brief", rounds: 6, seed: time.Now().UnixNano(), producers: 4,
		results: filepath.Join(dir, "results"), minUp: 20 * time.Millisecond, maxUp: 200 * time.Millisecond, within: time.Minute,
	}, &said)
	t.Log(said.String())
	require.NoError(t, err)
	require.Empty(t, res.Violations)
	require.NotZero(t, res.Rounds)
	require.Greater(t, res.Acked, 100)
	require.NotZero(t, res.OffsetCalls)
	require.NotZero(t, res.Delivered)

	said.Reset()
	require.Zero(t, command(nil, false, true, []string{filepath.Join(dir, "results"), filepath.Join(dir, "results")}, &said))
	require.Contains(t, said.String(), "| brief")
	require.Contains(t, said.String(), "| 2 ")
}

// The same for a fleet, for each of its campaigns but those that wait for copies to be
// rebuilt or need more of the machine: make chaos-fleet has them.
func TestBriefFleetCampaigns(t *testing.T) {
	if testing.Short() {
		t.Skip("a campaign takes some seconds")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "ottla")
	out, err := exec.Command("go", "build", "-o", binary, "ottla").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, c := range campaigns {
		if !c.fleet || slices.Contains([]string{"old", "netns", "backup"}, c.name) {
			continue
		}
		rounds := 2
		if c.name == "disk1" || c.name == "clock" || c.name == "grow" {
			rounds = 1 // they take longer
		}
		t.Run(c.name, func(t *testing.T) {
			var said strings.Builder
			res, err := runCampaign(&options{
				binary: binary, before: binary, campaign: c.name, rounds: rounds, seed: time.Now().UnixNano(), producers: 4, nodes: 3,
				minUp: 20 * time.Millisecond, maxUp: 200 * time.Millisecond, within: time.Minute,
			}, &said)
			t.Log(said.String())
			if missing := (*missingError)(nil); errors.As(err, &missing) {
				t.Skip(missing)
			}
			require.NoError(t, err)
			require.Empty(t, res.Violations)
			require.NotZero(t, res.Rounds)
		})
	}
}

// The checker notices a read that is older than it may be.
func TestOldReadsAreNoticed(t *testing.T) {
	r := newRecorder()
	r.fence = 10 * time.Millisecond
	seen := func(began time.Duration, end int64) int {
		r.fresh(mainTopic, 0, began, &end)
		return len(r.h.violations)
	}
	require.Zero(t, seen(r.now(), 0), "nothing is acknowledged yet")
	r.produced([]produced{{topic: mainTopic, outcome: acked, at: place{0, 4}}})
	acknowledged := r.now()
	require.Zero(t, seen(acknowledged+r.fence/2, 0), "it may be as old as the fence")
	require.Zero(t, seen(acknowledged+r.fence, 5))
	require.Equal(t, 1, seen(acknowledged+r.fence, 4))
	r.fresh(mainTopic, 0, acknowledged+r.fence, nil)
	require.Len(t, r.h.violations, 2)
}

// What a relay holds back does not arrive, and does once it lets go; the other way is
// not concerned.
func TestRelaysHoldBackOneWay(t *testing.T) {
	nw, err := newNetwork(2)
	require.NoError(t, err)
	defer nw.close()
	ln, err := net.Listen("tcp", nw.real[1])
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	dialed, err := net.Dial("tcp", nw.addresses()[1])
	require.NoError(t, err)
	defer func() { _ = dialed.Close() }()
	hello := `{"name":"n1"}`
	_, err = dialed.Write([]byte(hello))
	require.NoError(t, err)
	far, err := ln.Accept()
	require.NoError(t, err)
	defer func() { _ = far.Close() }()
	read := func(c net.Conn, want string) {
		t.Helper()
		buf := make([]byte, len(want))
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err := io.ReadFull(c, buf)
		require.NoError(t, err)
		require.Equal(t, want, string(buf))
	}
	read(far, hello)
	nw.hold(way{0, 1})
	_, err = dialed.Write([]byte("held"))
	require.NoError(t, err)
	_, err = far.Write([]byte("back"))
	require.NoError(t, err)
	read(dialed, "back")
	require.NoError(t, far.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = far.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	nw.heal()
	read(far, "held")
	nw.reset(func(w way) bool { return w.from == 1 })
	_, err = dialed.Read(make([]byte, 1))
	require.Error(t, err)
}

func TestUnknownCampaign(t *testing.T) {
	require.Equal(t, 1, command(&options{campaign: "no such"}, false, false, nil, &strings.Builder{}))
	var said strings.Builder
	require.Zero(t, command(nil, true, false, nil, &said))
	for _, c := range campaigns {
		require.Contains(t, said.String(), c.name+" ")
	}
}
