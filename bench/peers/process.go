package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"time"
)

// child is a process of a peer.
type child struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer // complete once the process has ended
	exited chan struct{}
}

// startChild runs a program and waits until it accepts connections on addr.
func startChild(ctx context.Context, addr, program string, args ...string) (*child, error) {
	c, err := lookProgram(program, args...)
	if err != nil {
		return nil, err
	}
	if err := c.waitFor(ctx, addr); err != nil {
		c.stop()
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	return c, nil
}

// lookProgram runs a program that is found by its name.
func lookProgram(program string, args ...string) (*child, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, errMissing)
	}
	return startProgram(exec.Command(path, args...))
}

func startProgram(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, exited: make(chan struct{})}
	cmd.Stderr = &c.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not reach it
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() {
		_ = cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

func (c *child) waitFor(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-c.exited:
			return fmt.Errorf("ended before it listened on %s: %s", addr, c.stderr.Bytes())
		case <-ctx.Done():
			return fmt.Errorf("does not listen on %s: %w", addr, err)
		}
	}
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(10 * time.Second)
	defer t.Stop()
	select {
	case <-c.exited:
	case <-t.C:
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// freeAddr is an address with a port that was free a moment ago.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
