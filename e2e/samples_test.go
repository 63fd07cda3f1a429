package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is a program of docs/api-by-example.md; it reads the topic that is called
// like it, in the group <topic>-readers.
type sample struct {
	topic, language, file string
	tool                  string                                     // that it needs
	command               func(tool, file string) (*exec.Cmd, error) // nil: the tool runs the file
}

var samples = []sample{
	{"py", "python", "example.py", "python3", nil},
	{"js", "js", "example.mjs", "node", nil},
	{"go", "go", "example.go", "go", func(tool, file string) (*exec.Cmd, error) {
		out, err := exec.Command(tool, "build", "-o", file+".exe", file).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
		return exec.Command(file + ".exe"), nil
	}},
}

// program writes the sample to a file, and returns the command that runs it.
func (s *server) program(p sample) *exec.Cmd {
	s.t.Helper()
	tool, err := exec.LookPath(p.tool)
	if err != nil {
		s.t.Skipf("no %s here", p.tool)
	}
	text := strings.ReplaceAll(blocks(s.t, "../docs/api-by-example.md", p.language)[0], "http://localhost:8080", s.base)
	file := filepath.Join(s.t.TempDir(), p.file)
	require.NoError(s.t, os.WriteFile(file, []byte(text), 0o600))
	if p.command == nil {
		return exec.Command(tool, file)
	}
	cmd, err := p.command(tool, file)
	require.NoError(s.t, err)
	return cmd
}

// copyOf is a running sample.
type copyOf struct {
	cmd       *exec.Cmd
	out, errs safeBuffer
	ended     chan struct{}
	failed    error // after ended
}

func (s *server) runSample(cmd *exec.Cmd) *copyOf {
	s.t.Helper()
	return s.runSampleIn(exec.Command(cmd.Path, cmd.Args[1:]...))
}

// runSampleIn starts a command as it is, in its directory.
func (s *server) runSampleIn(cmd *exec.Cmd) *copyOf {
	s.t.Helper()
	c := &copyOf{cmd: cmd, ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errs
	require.NoError(s.t, c.cmd.Start())
	go func() {
		c.failed = c.cmd.Wait()
		close(c.ended)
	}()
	s.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

// values are the numbers that the copy has printed in whole lines.
func (c *copyOf) values() map[int]bool {
	found := map[int]bool{}
	text := c.out.tail(1 << 24)
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); strings.HasSuffix(line, "\n") && len(fields) == 2 {
			if n, err := strconv.Atoi(fields[1]); err == nil {
				found[n] = true
			}
		}
	}
	return found
}

// feed writes numbers to all partitions of a topic, through restarts of the server,
// until it is told to stop; then it returns how many there are.
func feed(base, topic string, partitions int) (stop func() (fed int)) {
	done, fed := make(chan struct{}), 0
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			body := fmt.Sprintf(`{"topic":%q,"partition":%d,"key":"k","value":%d}`, topic, fed%partitions, firstFed+fed)
			req, err := http.NewRequest(http.MethodPost, base+"/events", bytes.NewReader([]byte(body)))
			if err != nil {
				return
			}
			req.Header.Set("Idempotency-Key", strconv.Itoa(fed)) // the same again after a lost answer
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					fed++
				}
			}
		}
	})
	return func() int {
		close(done)
		group.Wait()
		return fed
	}
}

// firstFed is above what the samples themselves write.
const firstFed = 1000

// Two copies of each sample share a topic while records flow. The first is killed,
// the server is restarted, and what one of them has printed together is everything;
// the copy that is left ends by itself and leaves its group.
func TestSamplesOutliveRebalanceKillAndRestart(t *testing.T) {
	t.Parallel()
	for _, p := range samples {
		t.Run(p.language, func(t *testing.T) {
			t.Parallel()
			const partitions = 4
			s := start(t)
			s.args = []string{"--listen", strings.TrimPrefix(s.base, "http://")} // the same after the restart
			program := s.program(p)
			s.topic(p.topic, partitions)
			stop := feed(s.base, p.topic, partitions)
			stopped := false
			defer func() {
				if !stopped {
					stop()
				}
			}()
			reads := func(c *copyOf, more int) {
				have := len(c.values())
				s.eventually(waitTimeout, "the sample reads", func() error {
					select {
					case <-c.ended:
						require.FailNow(t, "the sample has ended", "%v: %s", c.failed, c.errs.tail(4000))
					default:
					}
					if n := len(c.values()); n < have+more {
						return fmt.Errorf("%d values of %d", n, have+more)
					}
					return nil
				})
			}

			first := s.runSample(program)
			reads(first, 20)
			second := s.runSample(program) // a rebalance, while the first has records to acknowledge
			reads(second, 20)
			reads(first, 20)
			require.NoError(t, first.cmd.Process.Kill())
			<-first.ended
			group := p.topic + "-readers"
			s.eventually(waitTimeout, "the second copy takes over", func() error {
				if m := s.members(group); len(m) != 1 || len(m[0].Assignment) != partitions {
					return fmt.Errorf("%v", m)
				}
				return nil
			})
			s.stop()
			s.again()
			reads(second, 20)
			fed := stop()
			stopped = true

			select {
			case <-second.ended:
			case <-time.After(waitTimeout):
				require.FailNow(t, "the sample does not end", second.errs.tail(4000))
			}
			require.NoError(t, second.failed, second.errs.tail(4000))
			one, two := first.values(), second.values()
			for n := firstFed; n < firstFed+fed; n++ {
				require.True(t, one[n] || two[n], "%d of %d is lost", n, fed)
			}
			assert.Empty(t, s.members(group), "it has left its group")
			assert.Contains(t, second.errs.tail(4000), "trying again", "it noticed the restart")
		})
	}
}

// The programs of the documents print what stands below them, also when they are
// run twice in a row: the first run has left the group.
func TestSamplesCanBeRunTwice(t *testing.T) {
	t.Parallel()
	outputs := blocks(t, "../docs/api-by-example.md", "text")
	s := start(t)
	for i, p := range samples {
		s.run(p.language, func(t *testing.T) {
			program := s.program(p)
			for run := range 2 {
				out, err := exec.Command(program.Path, program.Args[1:]...).CombinedOutput()
				require.NoError(t, err, string(out))
				assert.Equal(t, outputs[i], string(out), "run %d", run)
			}
		})
	}
}

// A refusal is printed with its reason.
func TestSamplesSayWhatTheServerSays(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_AUTO_CREATE_TOPICS=false")
	for _, p := range samples {
		s.run(p.language, func(t *testing.T) {
			program := s.program(p)
			out, err := exec.Command(program.Path, program.Args[1:]...).CombinedOutput()
			require.Error(t, err)
			assert.Contains(t, string(out), "topic_not_found")
			assert.Contains(t, string(out), "does not exist")
		})
	}
}
