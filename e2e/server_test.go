package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/chaos/intercept"
)

const (
	startTimeout = 2 * time.Minute // generous: the machine may be busy
	waitTimeout  = time.Minute     // for anything else that is a matter of time
)

// server is one process of the binary. Its methods fail the test on any
// surprise.
type server struct {
	t      *testing.T // of the subtest that runs, see run
	root   *testing.T // of the whole test; ends the process
	dir    string     // data directory
	args   []string
	env    []string
	base   string // http://host:port
	binary string // another program than that of all tests; empty: that one
	cmd    *exec.Cmd
	exited chan struct{}
	stderr *safeBuffer

	intercept *intercept.Interceptor // of its syncs, nil: none
}

// start runs a server on a fresh data directory and waits until it is ready.
// Settings are environment variables, "OTTLA_KEY=value".
func start(t *testing.T, settings ...string) *server {
	t.Helper()
	s := prepare(t, settings...)
	s.again()
	return s
}

// prepare is start without starting.
func prepare(t *testing.T, settings ...string) *server {
	return &server{t: t, root: t, dir: filepath.Join(t.TempDir(), "data"), env: settings}
}

// run runs a subtest that uses the server, and has failures counted there.
func (s *server) run(name string, f func(t *testing.T)) {
	parent := s.t
	parent.Run(name, func(t *testing.T) {
		s.t = t
		defer func() { s.t = parent }()
		f(t)
	})
}

// again starts the process on the same data directory and waits until it is
// ready.
func (s *server) again() {
	s.t.Helper()
	s.launch()
	s.waitReady()
}

// launch starts the process and returns once it listens.
func (s *server) launch() {
	s.t.Helper()
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", s.dir}, s.args...)
	attach := func() error { return nil }
	program := cmp.Or(s.binary, binary)
	s.cmd = exec.Command(program, args...)
	if s.intercept != nil {
		var err error
		s.cmd, attach, err = s.intercept.Command(program, args...)
		require.NoError(s.t, err)
	}
	s.cmd.Dir = filepath.Dir(s.dir)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.stderr = &safeBuffer{}
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, s.cmd.Start())
	require.NoError(s.t, attach())

	first := make(chan string, 1)
	exited := make(chan struct{})
	cmd := s.cmd
	go func() {
		out := bufio.NewScanner(stdout)
		if out.Scan() {
			first <- out.Text()
		}
		for out.Scan() {
		}
		_ = cmd.Wait()
		close(exited)
	}()
	s.exited = exited
	stderr := s.stderr
	s.root.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		if s.root.Failed() {
			s.root.Logf("standard error of the server:\n%s", stderr.tail(8000))
		}
	})
	select {
	case line := <-first:
		m := regexp.MustCompile(`listening on (https?://\S+),`).FindStringSubmatch(line)
		require.NotNil(s.t, m, "first line of output must name the address: %q", line)
		s.base = m[1]
	case <-exited:
		require.FailNow(s.t, "server ended before it listened", stderr.tail(8000))
	case <-time.After(startTimeout):
		require.FailNow(s.t, "server does not listen", stderr.tail(8000))
	}
}

func (s *server) waitReady() {
	s.t.Helper()
	s.eventually(startTimeout, "the server is ready", func() error {
		a, err := s.try(http.MethodGet, "/readyz", nil)
		if err == nil && a.status != http.StatusOK {
			return fmt.Errorf("readyz: %d %s", a.status, a.body)
		}
		return err
	})
}

// eventually repeats a check until it passes.
func (s *server) eventually(timeout time.Duration, what string, check func() error) {
	s.t.Helper()
	deadline := time.After(timeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(s.t, "in vain waited until "+what, "%v", err)
		}
	}
}

// kill ends the process as kill -9 does.
func (s *server) kill() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Kill())
	<-s.exited
}

// stop ends the process as service managers do; it must exit with 0.
func (s *server) stop() {
	s.t.Helper()
	s.stopBy(syscall.SIGTERM)
}

// stopBy ends the process with a signal; it must exit with 0.
func (s *server) stopBy(sig syscall.Signal) {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(sig))
	select {
	case <-s.exited:
	case <-time.After(waitTimeout):
		require.FailNow(s.t, "server does not stop on "+sig.String(), s.stderr.tail(8000))
	}
	require.Equal(s.t, 0, s.cmd.ProcessState.ExitCode(), s.stderr.tail(8000))
}

// brokerDir is where a broker of a cluster keeps its files.
func (s *server) brokerDir(cluster string, broker int) string {
	return filepath.Join(s.dir, cluster, fmt.Sprintf("broker-%d", broker))
}

// safeBuffer is a bytes.Buffer for two goroutines.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	data := b.buf.Bytes()
	return string(data[max(0, len(data)-n):])
}
