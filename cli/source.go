package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

func newSource(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("source", "Create, list, describe and delete sources: URLs that take signed webhooks",
		newSourceCreate(r), newSourceList(r), newSourceDescribe(r), newSourceDelete(r))
	r.addFlags(cmd)
	return cmd
}

func newSourceCreate(r *remote) *cobra.Command {
	var topic, cluster, keyHeader, keyJSON, idHeader, scheme, header string
	var keep []string
	var secret secretFlags
	cmd := &cobra.Command{
		Use:   "create NAME --topic TOPIC --scheme SCHEME",
		Short: "Create a source of webhooks, or replace its settings",
		Long: "Create a source of webhooks, or replace its settings. Its sender gets the URL\n" +
			"SERVER/sources/NAME and the secret; what is not signed with it is refused. --header is\n" +
			"that of the signature here: a header for a proxy in front of the server needs a context\n" +
			"('ottla context add --header').",
		Example: "  ottla source create github --topic pushes --scheme github --generate-secret --id-header X-GitHub-Delivery --keep X-GitHub-Event\n" +
			"  ottla source create shop --topic sales --scheme standard-webhooks --secret-file shop.secret --key-json /data/customer",
		Args: exactArgs("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if topic == "" || scheme == "" {
				return usageError{fmt.Errorf("%s needs --topic and --scheme", cmd.CommandPath())}
			}
			key, err := secret.take(r.p)
			if err != nil {
				return err
			}
			if key == "" {
				return usageError{fmt.Errorf("%s needs --secret-file, --secret or --generate-secret", cmd.CommandPath())}
			}
			verify := map[string]any{"scheme": scheme, "secret": key}
			if header != "" && !headerName.MatchString(header) { // meant for a proxy, it may be a secret: it is not repeated
				return usageError{errors.New("--header needs the name of the header with the signature; one for a proxy is kept by 'ottla context add --header'")}
			}
			if header != "" {
				verify["header"] = header
			}
			fields := map[string]any{"topic": topic, "verify": verify}
			for name, value := range map[string]string{"cluster": cluster, "key_header": keyHeader, "key_json": keyJSON, "id_header": idHeader} {
				if value != "" {
					fields[name] = value
				}
			}
			if len(keep) > 0 {
				fields["keep"] = keep
			}
			return r.put(cmd, path("sources", args[0]), fields, &secret, key, table(describeSource))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&topic, "topic", "", "`TOPIC` that webhooks go to (required)")
	flags.StringVar(&scheme, "scheme", "", "how they are signed: standard-webhooks, github, stripe or hmac-sha256 (required)")
	flags.StringVar(&header, "header", "", "`HEADER` with the signature, if the scheme has none of its own")
	flags.StringVar(&keyHeader, "key-header", "", "`HEADER` whose value is the key of the record")
	flags.StringVar(&keyJSON, "key-json", "", "JSON `POINTER` to the key in the body, such as /data/customer")
	flags.StringVar(&idHeader, "id-header", "", "`HEADER` that is the same when the sender tries again")
	flags.StringSliceVar(&keep, "keep", nil, "`HEADERS` that become headers of the record")
	secret.add(cmd)
	return clusterFlag(cmd, &cluster, "the topic's cluster")
}

func newSourceList(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List sources of webhooks", Args: exactArgs(),
		Example: "  ottla source list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.list(cmd, "/sources", "sources", nil, table(func(a *struct{ Sources []protocol.Source }) [][]string { return sourceRows(a.Sources) }))
		},
	}
}

func newSourceDescribe(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show the settings of a source", Args: exactArgs("a NAME"),
		Example: "  ottla source describe github",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.get(cmd, path("sources", args[0]), nil, table(describeSource))
		},
	}
}

func newSourceDelete(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a source: its sender is refused from now on", Args: exactArgs("a NAME"),
		Example: "  ottla source delete github",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.remove(cmd, path("sources", args[0]), nil, "source "+args[0])
		},
	}
}

func describeSource(s *protocol.Source) [][]string { return sourceRows([]protocol.Source{*s}) }

func sourceRows(sources []protocol.Source) [][]string {
	rows := [][]string{{"NAME", "CLUSTER", "TOPIC", "SCHEME", "KEY", "ID"}}
	for i := range sources {
		s := &sources[i]
		rows = append(rows, []string{s.Name, s.Cluster, s.Topic, string(s.Verify.Scheme), s.KeyHeader + s.KeyJSON, s.IDHeader})
	}
	return rows
}
