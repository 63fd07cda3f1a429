package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/forced"
)

const gatherHelp = "With --force-membership and --into NEW, for a fleet that lost a majority of its nodes\n" +
	"for good: DIR ... are the data directories of the nodes that are left, or copies of\n" +
	"them. What they have is copied into the data directory NEW, and goes on there as that\n" +
	"of a single process, from which a fleet can be grown again. Nothing in DIR ... is\n" +
	"changed. It is refused while a node of the fleet answers."

// gatherMembership brings together what is left of a fleet, and has it go on alone.
func gatherMembership(p *process, into string, dirs []string, yes, dryRun bool) error {
	for _, dir := range dirs {
		release, err := datadir.LockOffline(dir)
		if err != nil {
			return offlineError(err)
		}
		defer release()
	}
	g, err := datadir.Gather(dirs, catalog.FleetName, forced.TookPlace)
	if err != nil {
		return err
	}
	if alive := answering(g.Members); len(alive) > 0 {
		return fmt.Errorf("nothing was changed: %s of the fleet, or something at its address, answers: what it has would be given up."+
			" Stop all nodes that are left, and name their data directories, too", strings.Join(alive, " and "))
	}
	explainGathering(p, g)
	if len(g.Clusters) == 0 {
		return errors.New("there is no cluster in these directories")
	}
	if err := explainGathered(p, g, into); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	switch {
	case dryRun:
		return errors.New("nothing was changed")
	case !yes && !p.asks:
		return errors.New("nothing was changed; run it again with --yes to do it")
	case !yes && !p.agrees(fmt.Sprintf("Give up what was at other nodes only, and go on alone in %s? Type yes:", into), "yes"):
		return errors.New("nothing was changed")
	}
	if err := g.CopyTo(into); err != nil {
		return fmt.Errorf("bring together what is left (remove %s to begin anew): %w", into, err)
	}
	plan, err := forced.NewPlan(into, true)
	if err != nil {
		return err
	}
	return executeForce(p, plan)
}

// explainGathered says what is to go on with one copy, and what is gone, before anything
// is copied.
func explainGathered(p *process, g *datadir.Gathering, into string) error {
	temp, err := os.MkdirTemp("", "ottla-gather-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // the system's to clean up
	if err := g.Outline(temp); err != nil {
		return err
	}
	plan, err := forced.NewPlan(temp, false)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), temp, into))
	}
	var out strings.Builder
	said := *p
	said.stdout = &out
	explainForce(&said, plan)
	_, err = io.WriteString(p.stdout, strings.ReplaceAll(out.String(), temp, into))
	return err
}

// answerPatience is how long a node may take to take a connection.
const answerPatience = 2 * time.Second

// answering are the members at whose addresses somebody takes connections.
func answering(members []datadir.Founder) (alive []string) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, m := range members {
		asking.Go(func() {
			c, err := net.DialTimeout("tcp", m.Link, answerPatience)
			if err != nil {
				return
			}
			_ = c.Close()
			mu.Lock()
			defer mu.Unlock()
			alive = append(alive, fmt.Sprintf("node %d (%s, %s)", m.Node, m.Name, m.Link))
		})
	}
	asking.Wait()
	slices.Sort(alive)
	return alive
}

func explainGathering(p *process, g *datadir.Gathering) {
	for _, c := range g.Clusters {
		for _, n := range slices.Sorted(maps.Keys(c.From)) {
			fmt.Fprintf(p.stdout, "cluster %s, broker %d: from %s\n", c.Name, n, c.From[n])
		}
		for n := 1; n <= c.Brokers; n++ {
			if c.From[n] == "" {
				fmt.Fprintf(p.stdout, "cluster %s, broker %d: lost\n", c.Name, n)
			}
		}
		for _, dir := range slices.Sorted(maps.Keys(c.Moved)) {
			fmt.Fprintf(p.stdout, "cluster %s: of %s, to where a broker was on its way, what had moved already: %s\n", c.Name, dir, strings.Join(c.Moved[dir], ", "))
		}
		for _, dir := range c.Left {
			fmt.Fprintf(p.stdout, "cluster %s: %s is left out: of this broker a newer directory is there\n", c.Name, dir)
		}
	}
}
