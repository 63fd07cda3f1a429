package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fleetNode is one node of a fleet on this machine.
type fleetNode struct {
	*server
	dir string
}

// startFleet starts three nodes with data below dir, that found a fleet.
func startFleet(binary, dir string) ([]*fleetNode, error) {
	var links []string
	for range 3 {
		link, err := freeAddress()
		if err != nil {
			return nil, err
		}
		links = append(links, link)
	}
	var nodes []*fleetNode
	for i, link := range links {
		n, err := beginNode(binary, "127.0.0.1:0", filepath.Join(dir, "node-"+strconv.Itoa(i+1)), "node-"+strconv.Itoa(i+1), link, links)
		if err != nil {
			killAll(nodes)
			return nil, err
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := n.waitReady(); err != nil {
			killAll(nodes)
			return nil, err
		}
	}
	return nodes, nil
}

// beginNode starts a node and does not wait for the others.
func beginNode(binary, listen, dir, name, link string, seeds []string) (*fleetNode, error) {
	logLevel = "error"
	s, err := beginServer(binary, listen, dir, "--node-name", name, "--link", link, "--seeds", strings.Join(seeds, ","))
	if err != nil {
		return nil, err
	}
	return &fleetNode{s, dir}, nil
}

// freeAddress returns an address on which nobody listens. It is none of those that kernels
// give to connections as they come: while nobody listens on it yet, one could get it.
func freeAddress() (string, error) {
	for range 1000 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(22000)))
		if err == nil {
			return ln.Addr().String(), ln.Close()
		}
	}
	return "", errors.New("no port is free")
}

func killAll(nodes []*fleetNode) {
	for _, n := range nodes {
		n.kill()
	}
}

// runFleetDemo shows what becomes of events when the machine of their leader is lost.
func runFleetDemo(binary, input string) error {
	events, source, err := loadEvents(input)
	if err != nil {
		return err
	}
	say("%d events, %s", len(events), source)
	dir, err := os.MkdirTemp("", "ottla-demo-")
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	nodes, err := startFleet(binary, dir)
	if err != nil {
		return err
	}
	defer func() { killAll(nodes) }()
	for i, n := range nodes {
		say("node %d serves on %s", i+1, n.base)
	}
	if err := produceAll(nodes[0].server, events); err != nil {
		return err
	}
	lost, err := leaderNode(nodes[0].server)
	if err != nil {
		return err
	}
	nodes[lost].kill()
	if err := os.RemoveAll(nodes[lost].dir); err != nil {
		return fmt.Errorf("lose a machine: %w", err)
	}
	say("node %d, which led a partition, is killed with SIGKILL and its data directory removed", lost+1)
	began := time.Now()
	for i, n := range nodes {
		if i == lost {
			continue
		}
		if err := consumeAll(n.server, fmt.Sprintf("after-%d", i+1), events); err != nil {
			return err
		}
		say("... through node %d, %s after the loss", i+1, time.Since(began).Round(time.Millisecond))
	}
	link, err := freeAddress()
	if err != nil {
		return err
	}
	alive := nodes[(lost+1)%3]
	var members struct{ Nodes []struct{ Link string } }
	if err := alive.call("GET", "/nodes", nil, &members); err != nil {
		return err
	}
	var seeds []string
	for i, m := range members.Nodes {
		if i != lost {
			seeds = append(seeds, m.Link)
		}
	}
	n, err := beginNode(binary, "127.0.0.1:0", filepath.Join(dir, "node-4"), "node-4", link, seeds)
	if err != nil {
		return err
	}
	nodes = append(nodes, n)
	if err := n.waitReady(); err != nil {
		return err
	}
	say("node 4 has joined, with an empty data directory")
	return consumeAll(n.server, "at-node-4", events)
}

// leaderNode is the place of the node that leads the topic's first partition.
func leaderNode(s *server) (int, error) {
	for began := time.Now(); time.Since(began) < patience; {
		var t struct {
			Partitions []struct {
				Leader int `json:"leader_broker_id"`
			}
		}
		if err := s.call("GET", "/topic/"+topic, nil, &t); err != nil {
			return 0, err
		}
		if len(t.Partitions) > 0 && 1 <= t.Partitions[0].Leader && t.Partitions[0].Leader <= 3 {
			return t.Partitions[0].Leader - 1, nil // broker n of the default cluster is at node n
		}
		<-time.After(20 * time.Millisecond) // between two looks
	}
	return 0, fmt.Errorf("topic %q has no leader", topic)
}

// serveFleet runs three nodes on fixed ports until a signal, with their data below
// dir.
func serveFleet(binary, dir string) error {
	var links []string
	for i := range 3 {
		links = append(links, fmt.Sprintf("127.0.0.1:%d", 7070+i))
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var nodes []*fleetNode
	defer func() {
		for _, n := range nodes {
			_ = n.cmd.Process.Signal(syscall.SIGTERM)
		}
		for _, n := range nodes {
			_ = n.cmd.Wait()
		}
	}()
	for i := range links {
		name := "node-" + strconv.Itoa(i+1)
		n, err := beginNode(binary, fmt.Sprintf("127.0.0.1:%d", 8080+i), filepath.Join(dir, name), name, links[i], links)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := n.waitReady(); err != nil {
			return err
		}
	}
	for i, n := range nodes {
		fmt.Printf("node %d: %s, data in %s, process %d\n", i+1, n.base, n.dir, n.cmd.Process.Pid)
	}
	fmt.Println("Any of them answers everything; kill one and see. Ctrl-C ends all.")
	<-signals
	return nil
}
