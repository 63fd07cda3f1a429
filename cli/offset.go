package cli

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

func newOffset(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("offset", "Show and commit the offsets of consumer groups", newOffsetList(r), newOffsetCommit(r))
	r.addFlags(cmd)
	return cmd
}

func newOffsetList(r *remote) *cobra.Command {
	var cluster, group, topic string
	cmd := clusterFlag(&cobra.Command{
		Use: "list --group G", Short: "Show a group's committed offsets and its lag", Args: exactArgs(),
		Example: "  ottla offset list --group mailer",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if group == "" {
				return usageError{fmt.Errorf("%s needs --group", cmd.CommandPath())}
			}
			return r.list(cmd, "/offset", "offsets", []string{"group", group, "topic", topic, "cluster", cluster}, table(lagRows))
		},
	}, &cluster, "the group's cluster")
	cmd.Flags().StringVar(&group, "group", "", "consumer `GROUP` (required)")
	cmd.Flags().StringVar(&topic, "topic", "", "only this `TOPIC`")
	return cmd
}

func lagRows(a *struct{ Offsets []protocol.OffsetInfo }) [][]string {
	rows := [][]string{{"TOPIC", "PARTITION", "COMMITTED", "POSITION", "END", "LAG", "CONSUMER", "METADATA"}}
	for _, o := range a.Offsets {
		rows = append(rows, []string{
			o.Topic, strconv.Itoa(o.Partition), optional(o.Committed), optional(o.Position),
			optional(o.End), optional(o.Lag), optional(o.Owner), o.Metadata,
		})
	}
	return rows
}

// optional is a number as text, "" if it is unknown.
func optional[T ~int64](n *T) string {
	if n == nil {
		return ""
	}
	return number(*n)
}

func newOffsetCommit(r *remote) *cobra.Command {
	var (
		cluster, group, topic, metadata string
		consumer, offset                int64
		partition                       int
		force                           bool
	)
	cmd := clusterFlag(&cobra.Command{
		Use:   "commit --consumer-id N",
		Short: "Commit a consumer's position, or an offset",
		Long: "Commit a consumer's position (the offset after its latest response) or, with\n" +
			"--topic, --partition and --offset, that offset: the next one to read.",
		Example: "  ottla offset commit --consumer-id 7\n" +
			"  ottla offset commit --consumer-id 7 --topic liked --partition 0 --offset 42",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := cmd.Flags()
			if !flags.Changed("consumer-id") {
				return usageError{fmt.Errorf("%s needs --consumer-id", cmd.CommandPath())}
			}
			fields := map[string]any{"consumer_id": consumer}
			for name, v := range map[string]string{"cluster": cluster, "group": group, "topic": topic} {
				if v != "" {
					fields[name] = v
				}
			}
			if force {
				fields["force"] = true
			}
			if flags.Changed("offset") != flags.Changed("partition") || flags.Changed("offset") && topic == "" {
				return usageError{fmt.Errorf("%s needs --topic, --partition and --offset together", cmd.CommandPath())}
			}
			if flags.Changed("offset") {
				one := map[string]any{"topic": topic, "partition": partition, "offset": offset}
				if metadata != "" {
					one["metadata"] = metadata
				}
				fields["offsets"] = []any{one}
			}
			return r.change(cmd, http.MethodPost, "/offset", nil, fields, table(offsetRows))
		},
	}, &cluster, "the group's cluster")
	flags := cmd.Flags()
	flags.Int64Var(&consumer, "consumer-id", 0, "the consumer (required)")
	flags.StringVar(&group, "group", "", "its `GROUP` (default: the one it is in)")
	flags.StringVar(&topic, "topic", "", "only this `TOPIC`")
	flags.IntVar(&partition, "partition", 0, "partition of --offset")
	flags.Int64Var(&offset, "offset", 0, "next offset to read")
	flags.StringVar(&metadata, "metadata", "", "`TEXT` kept with the offset")
	flags.BoolVar(&force, "force", false, "allow an offset before the committed one")
	return cmd
}

// offsetRows is the table of offsets that were committed.
func offsetRows(a *struct{ Offsets []protocol.CommittedEntry }) [][]string {
	rows := [][]string{{"TOPIC", "PARTITION", "OFFSET"}}
	for _, o := range a.Offsets {
		rows = append(rows, []string{o.Topic, strconv.Itoa(o.Partition), number(o.Offset)})
	}
	return rows
}
