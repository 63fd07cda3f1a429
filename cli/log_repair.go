package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"ottla/actors/datadir"
	"ottla/actors/forced"
	"ottla/logfile"
)

func newLogRepair(p *process) *cobra.Command {
	var yes, force, dryRun bool
	var into string
	cmd := &cobra.Command{
		Use:   "repair DIR ...",
		Short: "Explain what damage or a lost majority costs and, with --yes, continue with what is left",
		Long: "Explain for each damaged log in DIR or below it what can be done and what would\n" +
			"be lost, and do it only with --yes.\n\n" +
			"It can make a partition with a single replica usable again if its newest log file\n" +
			"is damaged, by cutting off that file at the damage. Every record after that is\n" +
			"lost to the broker; the bytes are kept in a .broken file beside it.\n\n" +
			"It leaves alone: a partition with several replicas, which is rebuilt from the\n" +
			"others while the server runs; and damage in older log files, in a file's header,\n" +
			"in manifests and in ledgers, which only a backup can undo. The exit status is 0\n" +
			"when no damage is left, else 1.\n\n" + forceHelp + "\n\n" + gatherHelp,
		Example: "  ottla log repair ./data\n  ottla log repair ./data --yes\n  ottla log repair ./data --force-membership --dry-run\n  ottla log repair /mnt/node-1 /mnt/node-4 --force-membership --into ./data",
		Args: func(cmd *cobra.Command, args []string) error {
			if into != "" && len(args) > 0 {
				return nil
			}
			return exactArgs("a DIR")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if dryRun && (yes || !force) {
				return usageError{errors.New("--dry-run goes with --force-membership and without --yes")}
			}
			if into != "" && !force {
				return usageError{errors.New("--into goes with --force-membership")}
			}
			if into != "" {
				return gatherMembership(p, into, args, yes, dryRun)
			}
			release, err := datadir.LockOffline(args[0])
			if err != nil {
				return offlineError(err)
			}
			defer release()
			if force {
				return forceMembership(p, args[0], yes, dryRun)
			}
			return repair(p, args[0], yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&force, "force-membership", false, "continue with one copy where a majority is lost for good")
	cmd.Flags().StringVar(&into, "into", "", "with --force-membership: the data directory to make of what is left of a fleet")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "with --force-membership: only say what it would do")
	return cmd
}

// repairCount counts damages: that can be cut, that were, and that are left.
type repairCount struct{ cuttable, done, left int }

func repair(p *process, dir string, yes bool) error {
	if n, _, err := countLogs(dir); err != nil || n == 0 {
		return errors.Join(err, noLogs(dir, n))
	}
	var damages []logfile.Damage
	err := logfile.Diagnose(logfile.OSFS{}, dir, logfile.BootID(), func(d logfile.Damage) { damages = append(damages, d) })
	if err != nil {
		return err
	}
	var n repairCount
	for _, d := range damages {
		if err := repairOne(p, d, yes, &n); err != nil {
			return err
		}
	}
	err = datadir.VerifyManifests(dir, func(path string, err error) {
		n.left++
		fmt.Fprintf(p.stdout, "%s: damaged: %s\n  not repairable: restore this file from a backup.\n", path, oneLine(err))
	})
	if err != nil {
		return err
	}
	switch {
	case n.left > 0:
		return fmt.Errorf("%d repaired, %d repairable with --yes, %d damages are left", n.done, n.cuttable-n.done, n.left)
	case n.cuttable > n.done:
		return fmt.Errorf("%d repairable; run it again with --yes to do it", n.cuttable-n.done)
	case n.done == 0:
		fmt.Fprintln(p.stderr, "nothing to repair")
	}
	return nil
}

func noLogs(dir string, n int) error {
	if n > 0 {
		return nil
	}
	return fmt.Errorf("no log files in %s or below it", dir)
}

// repairOne explains one damage and, if allowed, cuts it off.
func repairOne(p *process, d logfile.Damage, yes bool, n *repairCount) error {
	if logfile.IsRetired(filepath.Dir(d.Path)) {
		fmt.Fprintf(p.stdout, "%s: damaged, but no longer in use: the broker replaced this replica; you can delete it.\n", filepath.Dir(d.Path))
		return nil
	}
	fmt.Fprintf(p.stdout, "%s: damaged at byte %d: %s\n", d.Path, d.Offset, oneLine(d.Err))
	if why := notRepairable(&d); why != "" {
		n.left++
		fmt.Fprintf(p.stdout, "  not repairable here: %s\n", why)
		return nil
	}
	n.cuttable++
	fmt.Fprintf(p.stdout, "  topic %s, partition %d, broker %d, the only replica\n", d.Identity.Topic, d.Identity.Partition, d.Identity.Broker)
	fmt.Fprintf(p.stdout, "  kept: every record below offset %d\n", d.NextOffset)
	fmt.Fprintf(p.stdout, "  lost: every record from offset %d on%s, the last %d bytes of the file, acknowledged records among them\n",
		d.NextOffset, upTo(&d), d.LostBytes)
	fmt.Fprintf(p.stdout, "  consumers beyond that offset get offset_out_of_range or wait until the log has reached their position again\n")
	if !yes {
		return nil
	}
	kept, err := logfile.CutTail(logfile.OSFS{}, d, logfile.BootID())
	if err != nil {
		return fmt.Errorf("repair %s: %w", d.Path, err)
	}
	n.done++
	fmt.Fprintf(p.stdout, "  done; the cut bytes are in %s\n", kept)
	return nil
}

func upTo(d *logfile.Damage) string {
	if d.LostNext <= d.NextOffset {
		return ""
	}
	return fmt.Sprintf(" (readable ones reach %d)", d.LostNext-1)
}

// notRepairable says why a damage cannot be repaired, "" if it can.
func notRepairable(d *logfile.Damage) string {
	if !d.Tail {
		return "only the tail of the newest log file can be cut without breaking what follows it. " +
			"With other replicas it is rebuilt when the server runs; else restore the directory from a backup, or delete the topic."
	}
	sole, err := forced.SoleVoter(d.ConfState, d.Identity.ReplicaID)
	switch {
	case err != nil:
		return oneLine(err)
	case d.ConfMoved:
		return "the partition's replicas changed near the damage, so it is not certain that this is the only one."
	case !sole:
		return "the partition has other replicas. It is rebuilt from them when the server runs; " +
			"cutting this one would make it forget records that it acknowledged."
	}
	return ""
}
