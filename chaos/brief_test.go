package main

import (
	"os"
	"os/exec"
	"path/filepath"
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

func TestUnknownCampaign(t *testing.T) {
	require.Equal(t, 1, command(&options{campaign: "no such"}, false, false, nil, &strings.Builder{}))
	var said strings.Builder
	require.Zero(t, command(nil, true, false, nil, &said))
	for _, c := range campaigns {
		require.Contains(t, said.String(), c.name+" ")
	}
}
