package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"

	"ottla/client"
)

// process is a child: a broker or an echo server.
type process struct {
	url    string // http://host:port
	addr   string // host:port
	kafka  string // host:port for Kafka clients; empty: none
	cmd    *exec.Cmd
	exited chan struct{}
	stderr *tailBuffer
	dir    string     // removed when it ends; empty: none
	others []*process // the other nodes of its fleet
}

var (
	listening   = regexp.MustCompile(`listening on http://(\S+?),?(\s|$)`)
	stopTimeout = 20 * time.Second
)

// startProcess runs a child and waits for its first line, which says where it
// listens.
func startProcess(binary string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(binary, args...), exited: make(chan struct{}), stderr: &tailBuffer{}}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.stderr
	// Ctrl-C must reach only the bench, which ends its children itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, out)
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	m := listening.FindStringSubmatch(line)
	if m == nil {
		p.stop()
		return nil, fmt.Errorf("%s ended before it listened (%w): %s%s", args[0], err, line, p.stderr)
	}
	p.addr = m[1]
	p.url = "http://" + p.addr
	return p, nil
}

// stop ends the child and removes its data.
func (p *process) stop() {
	p.end()
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

// end asks the child to end, and kills it if it does not; the other nodes, too.
func (p *process) end() {
	for _, o := range p.others {
		defer o.end()
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-p.exited:
	case <-t.C:
		p.kill()
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// startBroker starts a broker with a new data directory and waits until it is
// ready.
func startBroker(ctx context.Context, o *Options) (*process, error) {
	dir, err := os.MkdirTemp(o.DataDir, "ottla-bench-")
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	p, err := startBrokerIn(ctx, o, dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	p.dir = dir
	return p, nil
}

// startBrokerIn starts a broker on the data below dir, which is not removed, and
// waits until it is ready. It has the default settings and those of o.Env: a
// config.yaml in the working directory may be that of another version.
func startBrokerIn(ctx context.Context, o *Options, dir string) (*process, error) {
	env := append([]string{"OTTLA_LOG_LEVEL=warn", "OTTLA_DEFAULT_CLUSTER="}, o.Env...)
	kafka := ""
	if o.wantsKafka() {
		var err error
		if kafka, err = portsInARow(max(minBrokers, o.Replicas)); err != nil {
			return nil, err
		}
		env = append(env, "OTTLA_KAFKA_LISTEN="+kafka, "OTTLA_KAFKA_CLUSTER="+ownCluster)
	}
	p, err := startNodes(o, env, dir)
	if err != nil {
		return nil, err
	}
	p.kafka = kafka
	for _, n := range append(p.others, p) {
		if err := n.waitReady(ctx); err != nil {
			p.end()
			return nil, err
		}
	}
	if len(p.others) > 0 {
		if err := p.waitAllUp(ctx); err != nil {
			p.end()
			return nil, err
		}
	}
	return p, nil
}

func (p *process) waitReady(ctx context.Context) error {
	c, err := client.New(p.url)
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("the broker ended: %s", p.stderr)
		case <-ctx.Done():
			return fmt.Errorf("the broker does not get ready: %w: %s", err, p.stderr)
		}
	}
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	mu  sync.Mutex
	buf []byte
}

// Write never fails.
func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	const keep = 4096
	b.buf = append(b.buf, p...)
	if len(b.buf) > keep {
		b.buf = append(b.buf[:0], b.buf[len(b.buf)-keep:]...)
	}
	return len(p), nil
}

// String is the end of what was written.
func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf)
}
