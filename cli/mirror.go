package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ottla/mirror"
	"ottla/protocol"
)

// mirrorOptions are the flags of `ottla mirror`.
type mirrorOptions struct {
	from               []string
	user, passwordFile string
	mechanism          string
	tls                bool
	ca                 string
	all, dryRun        bool
	retryFor           time.Duration
	mirror.Options
}

func newMirror(p *process) *cobra.Command {
	r := &remote{p: p}
	o := &mirrorOptions{}
	cmd := &cobra.Command{
		Use: "mirror", Short: "Copy topics and groups' offsets of a Kafka cluster into a running cluster", Args: noArgs,
		Long: "Copy topics of a Kafka cluster, with their partitions, records and settings, and the\n" +
			"offsets that groups have committed. A topic that is not there is made; one that is\n" +
			"there must have the same number of partitions, and no other writers. Keys, values,\n" +
			"headers and times stay; each record gets the header " + mirror.OffsetHeader + ",\n" +
			"with its offset at the source. It says where to go on: each record is copied once,\n" +
			"however often the command is interrupted and started again.\n\n" +
			"A group goes on at the copy of the record that it would have read next. It is moved\n" +
			"forward only, and not while it has members here.\n\n" +
			"Without --follow the command ends where the source ended when it began.",
		Example: "  ottla mirror --from old-kafka:9092 --all --all-groups --dry-run\n" +
			"  ottla mirror --from old-kafka:9092 --topics clicks,orders --all-groups --follow",
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, r) },
	}
	r.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&o.from, "from", nil, "`HOST:PORT` of a broker of the Kafka cluster, several times or with commas")
	flags.StringVar(&o.user, "from-user", "", "`NAME` of the user there")
	flags.StringVar(&o.passwordFile, "from-password-file", "", "`FILE` with the user's password")
	flags.StringVar(&o.mechanism, "from-sasl", "plain", "how the user shows it: `MECHANISM` is "+strings.Join(mirror.Mechanisms, ", "))
	flags.BoolVar(&o.tls, "from-tls", false, "speak TLS with the Kafka cluster")
	flags.StringVar(&o.ca, "from-ca", "", "`FILE` with the roots of its certificates (default: those of the system); with TLS")
	flags.StringSliceVar(&o.Topics, "topics", nil, "`NAME` of a topic, several times or with commas")
	flags.BoolVar(&o.all, "all", false, "all topics but internal ones")
	flags.StringSliceVar(&o.Groups, "groups", nil, "`NAME` of a group whose offsets are taken over, several times or with commas")
	flags.BoolVar(&o.AllGroups, "all-groups", false, "take over the offsets of all groups")
	flags.StringVar(&o.Cluster, "cluster", protocol.DefaultCluster, "`NAME` of the cluster to copy into")
	flags.BoolVar(&o.Follow, "follow", false, "go on with what is written to the source, until interrupted")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print what would be done, and do nothing")
	flags.DurationVar(&o.retryFor, "retry-for", time.Minute, "how long to retry what either side cannot answer")
	return cmd
}

// source are the options of the Kafka side.
func (o *mirrorOptions) source() (s mirror.SourceOptions, err error) {
	s = mirror.SourceOptions{Addresses: o.from, User: o.user, Mechanism: o.mechanism, Patience: o.retryFor}
	switch {
	case len(o.from) == 0:
		return s, usageError{errors.New("--from must name a broker of the Kafka cluster, HOST:PORT")}
	case o.all == (len(o.Topics) > 0):
		return s, usageError{errors.New("either --topics or --all must say what is copied")}
	case o.AllGroups && len(o.Groups) > 0:
		return s, usageError{errors.New("--groups and --all-groups exclude each other")}
	case (o.user == "") != (o.passwordFile == ""):
		return s, usageError{errors.New("--from-user and --from-password-file need each other")}
	}
	for _, address := range o.from {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return s, usageError{fmt.Errorf("--from %q must be HOST:PORT", address)}
		}
	}
	if o.tls || o.ca != "" {
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.ca != "" {
			if s.TLS.RootCAs, err = rootsIn(o.ca, "--from-ca"); err != nil {
				return s, err
			}
		}
	}
	if o.passwordFile != "" {
		text, err := os.ReadFile(o.passwordFile)
		if err != nil {
			return s, fmt.Errorf("--from-password-file: %w", err)
		}
		s.Password = strings.TrimRight(string(text), "\r\n")
	}
	return s, nil
}

func (o *mirrorOptions) run(cmd *cobra.Command, r *remote) error {
	from, err := o.source()
	if err != nil {
		return err
	}
	a, err := r.client()
	if err != nil {
		return err
	}
	source, err := mirror.Dial(from)
	if err != nil {
		return usageError{err}
	}
	defer source.Close()
	ctx, stop := r.context(cmd)
	defer stop()
	shown, done := newProgress(r.p, "records", 0), 0
	o.Patience, o.Note = o.retryFor, shown.note
	o.Progress = func(records int64) {
		done += int(records)
		shown.update(done, 0)
	}
	m, err := mirror.New(ctx, source, a, o.Options)
	if err != nil {
		return interrupted(a.explain(err))
	}
	if o.dryRun {
		return showMirrorPlan(ctx, r, a, m)
	}
	counts, err := m.Run(ctx)
	shown.end()
	copied := count(int(counts.Records), "record") + " of " + count(counts.Topics, "topic")
	switch {
	case errors.Is(err, context.Canceled) && o.Follow: // its usual end
		err = nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted: %s copied, and perhaps some more that were under way; the same command goes on", copied)
	case err != nil:
		return fmt.Errorf("%w; %s copied before", a.explain(err), copied)
	}
	if r.output == "json" {
		_, err = fmt.Fprintf(r.p.stdout, "{\"topics\":%d,\"records\":%d,\"groups_moved\":%d}\n", counts.Topics, counts.Records, counts.Groups)
		return err
	}
	_, err = fmt.Fprintf(r.p.stdout, "%s copied, offsets of %s moved\n", copied, count(counts.Groups, "group"))
	return err
}

// showMirrorPlan prints what would be done.
func showMirrorPlan(ctx context.Context, r *remote, a *api, m *mirror.Mirror) error {
	plan, groups, err := m.Plan(ctx)
	if err != nil {
		return interrupted(a.explain(err))
	}
	if r.output == "json" {
		text, err := body(map[string]any{"topics": plan, "groups": append([]string{}, groups...)})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(r.p.stdout, "%s\n", text)
		return err
	}
	rows := [][]string{{"TOPIC", "PARTITIONS", "TO COPY, ABOUT", "TOPIC HERE"}}
	for _, t := range plan {
		state := "exists"
		if t.New {
			state = "is made"
		}
		rows = append(rows, []string{printable(t.Topic), strconv.Itoa(t.Partitions), strconv.FormatInt(t.Records, 10), state})
	}
	if err := printTable(r.p.stdout, rows); err != nil {
		return err
	}
	for _, g := range groups {
		fmt.Fprintf(r.p.stdout, "group %s\n", printable(g))
	}
	return nil
}
