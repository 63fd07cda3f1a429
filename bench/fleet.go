package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startNodes starts the processes of a broker with data below dir: one, or a fleet
// whose nodes talk to each other by TLS.
func startNodes(o *Options, env []string, dir string) (*process, error) {
	serve := func(data string, more ...string) (*process, error) {
		args := []string{"serve", "--listen", "127.0.0.1:0", "--config", os.DevNull, "--data-dir", filepath.Join(dir, data)}
		return startProcess(o.Binary, env, append(args, more...)...)
	}
	if o.Nodes <= 1 {
		return serve("data")
	}
	certs := filepath.Join(dir, "certs")
	var names, links []string
	for i := range o.Nodes {
		link, err := freeAddress()
		if err != nil {
			return nil, err
		}
		names, links = append(names, fmt.Sprintf("node-%d", i+1)), append(links, link)
	}
	if out, err := exec.Command(o.Binary, append([]string{"node", "cert", "--dir", certs}, names...)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("certificates of the nodes: %w: %s", err, out)
	}
	var first *process
	for i, name := range names {
		p, err := serve("data-"+name, "--node-name", name, "--link", links[i], "--seeds", strings.Join(links, ","),
			"--link-ca", filepath.Join(certs, "ca.pem"), "--link-cert", filepath.Join(certs, name+".pem"), "--link-key", filepath.Join(certs, name+".key"))
		switch {
		case err != nil:
			if first != nil {
				first.end()
			}
			return nil, err
		case first == nil:
			first = p
		default:
			first.others = append(first.others, p)
		}
	}
	return first, nil
}

// waitAllUp waits until the fleet has all its nodes and hears them, so that brokers are
// spread over them.
func (p *process) waitAllUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		up, err := p.nodesUp(ctx)
		if err == nil && up == 1+len(p.others) {
			return nil
		}
		if !waitUntil(ctx, time.Now().Add(20*time.Millisecond)) {
			return fmt.Errorf("%d of %d nodes are up: %w: %s", up, 1+len(p.others), errors.Join(context.Cause(ctx), err), p.stderr)
		}
	}
}

func (p *process) nodesUp(ctx context.Context) (up int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/nodes", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	var list struct {
		Nodes []struct {
			State string `json:"state"`
		} `json:"nodes"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return 0, err
	}
	for _, n := range list.Nodes {
		if n.State == "active" {
			up++
		}
	}
	return up, nil
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return ln.Addr().String(), ln.Close()
}

// addrs are where the nodes listen.
func (p *process) addrs() []string {
	list := []string{p.addr}
	for _, o := range p.others {
		list = append(list, o.addr)
	}
	return list
}

// pids are those of the nodes.
func (p *process) pids() []int {
	list := []int{p.cmd.Process.Pid}
	for _, o := range p.others {
		list = append(list, o.cmd.Process.Pid)
	}
	return list
}
