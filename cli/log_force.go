package cli

import (
	"errors"
	"fmt"
	"strings"

	"ottla/actors/forced"
)

const forceHelp = "With --force-membership, for when a majority of a partition's replicas is lost for good:\n" +
	"every partition that lost its majority, including internal ones, continues with the\n" +
	"longest copy that is left; all other copies are renamed and rebuilt from it when the\n" +
	"server runs. Records that only the lost copies had are lost although they were\n" +
	"acknowledged. DIR must be the data directory. The command prints what it would do and\n" +
	"asks before it does it; --yes does it without asking, --dry-run only prints it."

// forceMembership prints which partitions have no majority and, if allowed, makes
// them continue with the copy that is left.
func forceMembership(p *process, dir string, yes, dryRun bool) error {
	plan, err := forced.NewPlan(dir, !dryRun)
	if err != nil {
		return err
	}
	explainForce(p, plan)
	if len(plan.Partitions) == 0 {
		return executeForce(p, plan)
	}
	if dryRun {
		return fmt.Errorf("%d partitions would be forced; nothing was changed", len(plan.Partitions))
	}
	if names := plan.Spread(); len(names) > 0 {
		return fmt.Errorf("nothing was changed: %s has brokers at other nodes of a fleet, and cannot go on with what one node has, even if the others are lost for good;"+
			" start a majority of the nodes, have what is left go on alone in a new data directory (--into), or restore a backup into a new fleet (ottla restore)", strings.Join(names, ", "))
	}
	if !yes {
		if err := confirmForce(p, len(plan.Partitions)); err != nil {
			return err
		}
	}
	return executeForce(p, plan)
}

// executeForce does what a plan says, which may be nothing.
func executeForce(p *process, plan *forced.Plan) error {
	if len(plan.Partitions) == 0 {
		if len(plan.Gone) > 0 {
			return fmt.Errorf("%d partitions have no copy to continue with, and nothing else lacks a majority", len(plan.Gone))
		}
		fmt.Fprintln(p.stderr, "every partition has a majority of its replicas; nothing to do")
		return nil
	}
	if err := plan.Execute(); err != nil {
		return fmt.Errorf("force membership (run it again to complete it): %w", err)
	}
	fmt.Fprintf(p.stderr, "%d partitions continue with one copy; start the server to have the others rebuilt\n", len(plan.Partitions))
	if len(plan.Gone) > 0 {
		return fmt.Errorf("%d partitions have no copy to continue with; delete their topics, or restore a backup", len(plan.Gone))
	}
	return nil
}

// confirmForce asks the user at the terminal; without one there is nobody who
// could agree to a loss.
func confirmForce(p *process, partitions int) error {
	if !p.asks {
		return errors.New("nothing was changed; run it again with --yes to do it")
	}
	if !p.agrees(fmt.Sprintf("Give up what may be lost in %d partitions? Type yes:", partitions), "yes") {
		return errors.New("nothing was changed")
	}
	return nil
}

func explainForce(p *process, plan *forced.Plan) {
	for _, b := range plan.Brokers {
		fmt.Fprintf(p.stdout, "cluster %s, broker %d: %s: %s\n", b.Cluster, b.Broker, b.Dir, oneLine(errors.New(b.Finding)))
	}
	for i := range plan.Partitions {
		f := &plan.Partitions[i]
		s := &f.Survivor
		fmt.Fprintf(p.stdout, "cluster %s, %s-%d: no majority of its %d replicas is left\n", f.Cluster, f.Topic, f.Partition, len(f.Others)+1)
		fmt.Fprintf(p.stdout, "  survivor: replica %d on broker %d (%s), last entry %d of term %d, next offset %d: the longest log of those left\n",
			s.ReplicaID, s.Broker, s.Finding, s.LastIndex, s.LastTerm, s.NextOffset)
		for j := range f.Others {
			o := &f.Others[j]
			fmt.Fprintf(p.stdout, "  given up: replica %d on broker %d: %s%s\n", o.ReplicaID, o.Broker, oneLine(errors.New(o.Finding)), had(o))
		}
		fmt.Fprintf(p.stdout, "  may be lost: acknowledged records at offset %d and above, if the copies given up had any; uncommitted ones below it stay\n", s.NextOffset)
	}
	for _, gone := range plan.Gone {
		fmt.Fprintf(p.stdout, "%s: no copy to continue with\n", oneLine(errors.New(gone)))
	}
}

func had(o *forced.Copy) string {
	if !o.Readable {
		return "; what it had is not known"
	}
	return fmt.Sprintf("; last entry %d of term %d, next offset %d", o.LastIndex, o.LastTerm, o.NextOffset)
}
