package e2e

import (
	"bufio"
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// However the command line reads without --group, nothing of it is left when it is
// killed: in one process, and at any node of a fleet.
func TestConsumeThatIsKilledLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, nodes := range map[string]func(*testing.T) []*server{
		"one process": func(t *testing.T) []*server { return []*server{start(t)} },
		"fleet":       func(t *testing.T) []*server { return startNodes(t, 3).nodes },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := nodes(t)
			for _, topic := range []string{"a", "b"} {
				servers[0].topic(topic, 2)
				for i := range 4 {
					servers[0].produce(topic, object{"partition": i % 2, "value": i})
				}
			}
			for i, how := range []string{"a", "a b --from -1h", "a b --tail 1", "a --partition 1", "a --offset 1"} {
				s := servers[i%len(servers)]
				killAfterARecord(t, append([]string{"consume", "--follow", "--server", s.base}, strings.Fields(how)...))
				for _, s := range servers {
					s.nothingBehind()
				}
			}
		})
	}
}

// killAfterARecord runs a command, and kills it when it has printed a record.
func killAfterARecord(t *testing.T, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	assert.True(t, lines.Scan(), "%v", args)
	assert.Contains(t, lines.Text(), `"value":`)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
}
