package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ottla/backup"
	"ottla/client"
	"ottla/protocol"
)

func newBackup(p *process) *cobra.Command {
	return family("backup", "Copy topics of a running cluster into a directory", newBackupCreate(p), newBackupVerify(p), newBackupList(p))
}

func newBackupCreate(p *process) *cobra.Command {
	r := &remote{p: p}
	o := backup.Options{}
	cmd := &cobra.Command{
		Use: "create DIR", Short: "Make a backup in a directory", Args: exactArgs("a DIR"),
		Long: "Copy topics of a running cluster, with their settings and the offsets that groups have\n" +
			"committed, into DIR. Each partition is copied up to its committed end. A directory\n" +
			"takes any number of backups of a cluster, and each one reads only what is new, except\n" +
			"of compacted topics. One that is interrupted is none; the next goes on from there.\n\n" +
			"Not in it: tokens, sources, subscriptions, sequences of producers, and what queues\n" +
			"know of single records.",
		Example: "  ottla backup create /backup/ottla\n  ottla backup create /backup/clicks --topic clicks",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := r.client()
			if err != nil {
				return err
			}
			ctx, stop := r.context(cmd)
			defer stop()
			o.Dir, o.Progress = args[0], recordProgress(p)
			m, err := backup.Make(ctx, a, o)
			if err != nil {
				return interrupted(a.explain(err))
			}
			records, bytes := m.Totals()
			_, err = fmt.Fprintf(p.stdout, "backup %d of cluster %s is complete: %s, %s, %s\n", m.Number, printable(m.Cluster.Name),
				count(len(m.Topics), "topic"), count(int(records), "record"), size(bytes))
			return err
		},
	}
	r.addFlags(cmd)
	cmd.Flags().StringVar(&o.Cluster, "cluster", protocol.DefaultCluster, "`NAME` of the cluster")
	cmd.Flags().StringSliceVar(&o.Topics, "topic", nil, "`NAME` of a topic, several times or with commas (default: all)")
	return cmd
}

// recordProgress shows how many records are done.
func recordProgress(p *process) backup.Progress {
	shown, done := newProgress(p, "records", 0), 0
	return func(_ string, records int64) {
		done += int(records)
		shown.update(done, 0)
	}
}

func newBackupVerify(p *process) *cobra.Command {
	number := 0
	cmd := &cobra.Command{
		Use: "verify DIR", Short: "Read a whole backup and compare it with its checksums", Args: exactArgs("a DIR"),
		Example: "  ottla backup verify /backup/ottla\n  ottla backup verify /backup/ottla --number 3",
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := backup.Read(args[0], number)
			if err != nil {
				return err
			}
			if err := m.Verify(args[0]); err != nil {
				return err
			}
			records, _ := m.Totals()
			_, err = fmt.Fprintf(p.stdout, "backup %d of cluster %s is intact: %s\n", m.Number, printable(m.Cluster.Name), count(int(records), "record"))
			return err
		},
	}
	cmd.Flags().IntVar(&number, "number", 0, "`NUMBER` of the backup (default: the newest)")
	return cmd
}

func newBackupList(p *process) *cobra.Command {
	return &cobra.Command{
		Use: "list DIR", Short: "List the backups in a directory", Args: exactArgs("a DIR"),
		Example: "  ottla backup list /backup/ottla",
		RunE: func(_ *cobra.Command, args []string) error {
			numbers, err := backup.Numbers(args[0])
			if err != nil {
				return err
			}
			rows := [][]string{{"NUMBER", "CLUSTER", "TOPICS", "RECORDS", "BYTES", "ENDED"}}
			for _, n := range numbers {
				m, err := backup.Read(args[0], n)
				if err != nil {
					return err
				}
				records, bytes := m.Totals()
				rows = append(rows, []string{strconv.Itoa(n), m.Cluster.Name, strconv.Itoa(len(m.Topics)), strconv.FormatInt(records, 10), size(bytes), when(m.Ended)})
			}
			return printTable(p.stdout, rows)
		},
	}
}

func newRestore(p *process) *cobra.Command {
	r := &remote{p: p}
	o := backup.RestoreOptions{}
	number, topics := 0, []string{}
	cmd := &cobra.Command{
		Use: "restore DIR", Short: "Restore topics from a backup into a running cluster", Args: exactArgs("a DIR"),
		Long: "Restore topics with their records, under the offsets, times, keys and headers that they\n" +
			"had, and the committed offsets of groups. The cluster is made if there is none of the\n" +
			"name. A topic that exists is not touched: delete it, or give the restored one another\n" +
			"name. Until all of it is there nobody can read or write it. A restore that was\n" +
			"interrupted goes on when it is started again in the same way.",
		Example: "  ottla restore /backup/ottla --cluster again\n  ottla restore /backup/ottla --topic clicks=clicks-of-may",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := backup.Read(args[0], number)
			if err != nil {
				return err
			}
			a, err := r.client()
			if err != nil {
				return err
			}
			if len(topics) > 0 {
				o.As = map[string]string{}
			}
			for _, t := range topics {
				name, as, _ := strings.Cut(t, "=")
				o.As[name] = as
			}
			ctx, stop := r.context(cmd)
			defer stop()
			o.Dir, o.Progress = args[0], recordProgress(p)
			if err := backup.Restore(ctx, a, m, o); err != nil {
				return interrupted(restoreFailure(a, err))
			}
			_, err = fmt.Fprintf(p.stdout, "backup %d is restored\n", m.Number)
			return err
		},
	}
	r.addFlags(cmd)
	cmd.Flags().IntVar(&number, "number", 0, "`NUMBER` of the backup (default: the newest)")
	cmd.Flags().StringVar(&o.Cluster, "cluster", "", "`NAME` of the cluster to restore into (default: that of the backup)")
	cmd.Flags().StringSliceVar(&topics, "topic", nil, "topic to restore, `NAME[=NEW]`, several times or with commas (default: all)")
	cmd.Flags().StringVar(&o.Prefix, "prefix", "", "`TEXT` before the names of topics and groups")
	return cmd
}

// restoreFailure explains why a backup was not restored.
func restoreFailure(a *api, err error) error {
	explained := a.explain(err)
	var said *client.Error
	if errors.As(err, &said) && said.Code == protocol.CodeTopicExists.Name {
		return fmt.Errorf("%w; restore only the topics that are missing with --topic, or all under other names with --prefix", explained)
	}
	return explained
}
