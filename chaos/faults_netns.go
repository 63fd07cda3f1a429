package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Each node of a fleet is in a network namespace of its own, as if on a machine of its own:
// what is cut is cut by the kernel, without a word to either end.

var (
	faultRouteOneWay = &fault{"no route one way", 0, 0, on(func(w cables) error { return w.unroute(nodeFaults(w).pair(false)) })}
	faultRoutePair   = &fault{"no route between two", 0, 0, on(func(w cables) error { return w.unroute(nodeFaults(w).pair(true)) })}
	faultRouteAlone  = &fault{"no route to a node", 0, 0, on(func(w cables) error { return w.unroute(nodeFaults(w).around(w.rnd.Perm(len(w.nodes))[:1])) })}
	faultCable       = &fault{"a cable pulled", 0, 0, on(cables.pull)}
)

// cables are the faults of nodes in namespaces.
type cables struct{ *world }

// spaces are the network namespaces of nodes, on a bridge of this machine.
type spaces struct {
	prefix string // of the names of what is made
	subnet string // the first three bytes of the addresses
	n      int
}

func (p *spaces) name(i int) string    { return fmt.Sprintf("%s%d", p.prefix, i+1) }
func (p *spaces) address(i int) string { return fmt.Sprintf("%s.%d", p.subnet, i+1) }
func (p *spaces) cable(i int) string   { return fmt.Sprintf("%sv%d", p.prefix, i+1) }

// bridgeHost is the last byte of this machine's own address.
const bridgeHost = 254

// newSpaces makes them. Error: *missingError where that is not possible.
func newSpaces(n int) (*spaces, error) {
	if os.Geteuid() != 0 {
		return nil, &missingError{"network namespaces need root"}
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, &missingError{"network namespaces need the program ip"}
	}
	id := os.Getpid()
	p := &spaces{prefix: fmt.Sprintf("oc%x", id%0x10000), subnet: fmt.Sprintf("10.%d.%d", 64+id/256%128, id%256), n: n}
	commands := []string{
		"link add " + p.prefix + " type bridge",
		fmt.Sprintf("addr add %s.%d/24 dev %s", p.subnet, bridgeHost, p.prefix),
		"link set " + p.prefix + " up",
	}
	for i := range n {
		ns, cable := p.name(i), p.cable(i)
		commands = append(commands,
			"netns add "+ns,
			fmt.Sprintf("link add %s type veth peer name eth0 netns %s", cable, ns),
			fmt.Sprintf("link set %s master %s up", cable, p.prefix),
			fmt.Sprintf("-n %s addr add %s/24 dev eth0", ns, p.address(i)),
			fmt.Sprintf("-n %s link set eth0 up", ns),
			fmt.Sprintf("-n %s link set lo up", ns),
		)
	}
	for _, c := range commands {
		if err := program("ip", strings.Fields(c)...); err != nil {
			p.remove()
			return nil, &missingError{"network namespaces: " + err.Error()}
		}
	}
	return p, nil
}

// remove removes what there is of them.
func (p *spaces) remove() {
	for i := range p.n {
		_ = program("ip", "netns", "del", p.name(i)) // with what is in it
	}
	_ = program("ip", "link", "del", p.prefix)
}

// part puts the nodes in namespaces, where they reach each other without relays.
func (w cables) part() error {
	var err error
	if w.spaces, err = newSpaces(len(w.nodes)); err != nil {
		return err
	}
	var seeds []string
	for i := range w.nodes {
		seeds = append(seeds, w.spaces.address(i)+":7070")
	}
	for i, s := range w.nodes {
		s.addr, s.space = w.spaces.address(i)+":8080", w.spaces.name(i)
		s.args = []string{"--link", seeds[i], "--seeds", strings.Join(seeds, ","), "--node-name", nodeName(i), "--link-insecure"}
		s.env = append(s.env, "OTTLA_AUTH_INSECURE=true")
	}
	return nil
}

// unroute has what goes some ways be dropped without a word, for a while.
func (w cables) unroute(ways []way) error {
	change := func(what string) error {
		for _, x := range ways {
			if err := program("ip", "-n", w.spaces.name(x.from), "route", what, "blackhole", w.spaces.address(x.to)+"/32"); err != nil {
				return err
			}
		}
		return nil
	}
	if err := change("add"); err != nil {
		return err
	}
	pause(context.Background(), w.between(50*time.Millisecond, 6*time.Second))
	return change("del")
}

// pull takes a node off the network, clients' requests included.
func (w cables) pull() error {
	cable := w.spaces.cable(w.rnd.Intn(len(w.nodes)))
	if err := program("ip", "link", "set", cable, "down"); err != nil {
		return err
	}
	pause(context.Background(), w.between(50*time.Millisecond, 6*time.Second))
	return program("ip", "link", "set", cable, "up")
}
