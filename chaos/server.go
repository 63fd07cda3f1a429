package main

import (
	"context"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ottla/chaos/intercept"
)

const (
	startLimit = 60 * time.Second // from start to ready; the machine may be busy
	stopLimit  = 40 * time.Second // more than the broker's own limit for an orderly stop
)

// server is the broker under test.
type server struct {
	binary, dir, addr string
	args              []string // more of them
	env               []string // likewise
	log               *os.File
	boots             int                    // number of simulated boots of the machine, 0: none
	intercept         *intercept.Interceptor // decides about its syncs; nil: nobody does
	space             string                 // the network namespace that it is in; "": none of its own
	clock             string                 // file that says how far its clock is ahead; "": it is the machine's
	scrubs            bool                   // it is started so that it verifies all files soon

	cmd      *exec.Cmd
	launched time.Time
	exited   chan struct{} // closed when cmd has ended
}

// freeAddress returns an address for a process that keeps it when it starts again. Its
// port is none of those that kernels give to outgoing connections, as they come.
func freeAddress() (string, error) {
	for tries := 0; ; tries++ {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.Intn(22000)))
		if err == nil {
			return ln.Addr().String(), ln.Close()
		}
		if tries == 100 {
			return "", err
		}
	}
}

func newServer(binary, dir string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return nil, err
	}
	return &server{binary: binary, dir: filepath.Join(dir, "data"), addr: addr, log: log}, nil
}

// start starts the broker and waits until every partition has a leader.
func (s *server) start() error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.waitReady(startLimit)
}

// launch starts the process and does not wait for it to serve.
func (s *server) launch() error {
	args := append([]string{"serve", "--listen", s.addr, "--data-dir", s.dir}, s.args...)
	cmd, attach := exec.Command(s.binary, args...), func() error { return nil }
	if s.space != "" {
		cmd = exec.Command("ip", append([]string{"netns", "exec", s.space, s.binary}, args...)...)
	}
	if s.intercept != nil {
		var err error
		if cmd, attach, err = s.intercept.Command(s.binary, args...); err != nil {
			return err
		}
	}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.Dir = filepath.Dir(s.log.Name()) // where no config.yaml is: another version may not know all of its keys
	// Retention runs all the time. Topics are not created automatically, or a
	// produce would create one again that was just deleted.
	cmd.Env = append(os.Environ(), "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=500ms", "OTTLA_AUTO_CREATE_TOPICS=false")
	cmd.Env = append(cmd.Env, s.env...)
	if s.scrubs {
		cmd.Env = append(cmd.Env, "OTTLA_STORAGE_SCRUB_INTERVAL="+scrubInterval, "OTTLA_STORAGE_SCRUB_BYTES_PER_SECOND="+scrubBandwidth)
	}
	if s.boots > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("OTTLA_SIMULATED_BOOT_ID=boot-%d", s.boots))
	}
	s.launched = time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	return attach()
}

// waitReady waits until every partition has a leader.
func (s *server) waitReady(limit time.Duration) error {
	deadline, note := time.Now().Add(limit), time.Now().Add(time.Second)
	last := "no answer"
	for time.Now().Before(deadline) {
		select {
		case <-s.exited:
			return fmt.Errorf("the broker ended by itself (%s), see %s", s.cmd.ProcessState, s.log.Name())
		default:
		}
		status, body := s.get("/readyz")
		if status == http.StatusOK {
			return nil
		}
		last = fmt.Sprintf("%d %.500s", status, body)
		if time.Now().After(note) {
			fmt.Fprintf(s.log, "chaos: %s not ready: %s\n", time.Now().UTC().Format(time.TimeOnly), last)
			note = time.Now().Add(time.Second)
		}
		pause(context.Background(), 2*time.Millisecond)
	}
	return fmt.Errorf("not ready after %s (%s), see %s", limit, last, s.log.Name())
}

// get sends a request of the campaign itself; status 0 means no answer.
func (s *server) get(path string) (int, []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(path), nil)
	if err != nil {
		return 0, nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// kill ends the process with SIGKILL.
func (s *server) kill() error {
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	<-s.exited
	return nil
}

// stop ends the process with SIGTERM and waits for an orderly stop.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	select {
	case <-s.exited:
	case <-time.After(stopLimit):
		return fmt.Errorf("still there %s after SIGTERM", stopLimit)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("exit status %d after SIGTERM, see %s", code, s.log.Name())
	}
	return nil
}

// end makes sure that nothing is left running.
func (s *server) end() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGCONT) // both fail if the process has ended
	_ = s.cmd.Process.Kill()
	<-s.exited
}

func (s *server) url(path string) string { return "http://" + s.addr + path }

// clusterDir is the directory of the default cluster, which holds those of its
// brokers.
func (s *server) clusterDir() string { return filepath.Join(s.dir, "default") }

func (s *server) brokerDir(broker int) string {
	return filepath.Join(s.clusterDir(), fmt.Sprintf("broker-%d", broker))
}

// program runs a command of the system and returns its output as an error if it
// fails.
func program(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
