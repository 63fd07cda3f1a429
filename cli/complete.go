package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completionPatience is how long completion waits for names from the server.
const completionPatience = 2 * time.Second

// listing says where the names of a kind of resource come from.
type listing struct{ path, list, field string }

var listings = map[string]listing{
	"cluster": {"/cluster", "clusters", "name"},
	"topic":   {"/topic", "topics", "name"},
	"group":   {"/groups", "groups", "group"},
	"token":   {"/tokens", "tokens", "name"},

	"source":       {"/sources", "sources", "name"},
	"subscription": {"/subscriptions", "subscriptions", "name"},
}

// addCompletions adds shell completion to cmd and its subcommands: names from the
// server, words that a flag accepts, directories and files where one is expected,
// and nothing elsewhere.
func addCompletions(p *process, cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		addCompletions(p, child)
	}
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
		cmd.ValidArgsFunction = argumentCompletion(p, cmd)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if complete := flagCompletion(p, f.Name); complete != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // fails if there is one already
		}
	})
}

func argumentCompletion(p *process, cmd *cobra.Command) cobra.CompletionFunc {
	kind := ""
	use := strings.Fields(cmd.Use)
	switch {
	case len(use) < 2 || cmd.Name() == "create":
	case strings.TrimSuffix(use[1], "...") == "TOPIC":
		kind = "topic"
	case use[1] == "NAME" && cmd.HasParent():
		kind = cmd.Parent().Name()
	case use[1] == "DIR":
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
	}
	file, many := strings.Contains(cmd.Use, "[FILE]"), strings.HasSuffix(cmd.Use, "...")
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		switch {
		case (len(args) == 0 || many) && kind != "":
			return names(p, cmd, kind), cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1 && file:
			return nil, cobra.ShellCompDirectiveDefault
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

func flagCompletion(p *process, flag string) cobra.CompletionFunc {
	words := map[string][]string{
		"from": {"earliest", "latest"}, "to": {"earliest", "latest"}, "fsync": {"always", "interval"}, "cleanup-policy": {"delete", "compact"},
		"order": {"partition", "key", "none"}, "scheme": {"standard-webhooks", "github", "stripe", "hmac-sha256"},
	}
	switch {
	case listings[flag].path != "":
		return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return names(p, cmd, flag), cobra.ShellCompDirectiveNoFileComp
		}
	case words[flag] != nil:
		return cobra.FixedCompletions(words[flag], cobra.ShellCompDirectiveNoFileComp)
	case flag == "data-dir":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	}
	return nil
}

// names asks the server that the command line names. A shell cannot show errors:
// after one there are no names.
func names(p *process, cmd *cobra.Command, kind string) []string {
	r := &remote{p: p, output: "json"}
	r.server, _ = cmd.Flags().GetString("server")
	r.named, _ = cmd.Flags().GetString("context")
	r.token, _ = cmd.Flags().GetString("token")
	r.tokenFile, _ = cmd.Flags().GetString("token-file")
	r.trust = trustOf(cmd)
	c, err := r.client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
	defer cancel()
	from := listings[kind]
	cluster := ""
	if kind == "topic" || kind == "group" {
		cluster, _ = cmd.Flags().GetString("cluster")
	}
	text, err := c.do(ctx, request{method: http.MethodGet, path: from.path, query: query("cluster", cluster)})
	if err != nil {
		return nil
	}
	var answer map[string][]map[string]any
	if json.Unmarshal(text, &answer) != nil {
		return nil
	}
	var found []string
	for _, thing := range answer[from.list] {
		if name, ok := thing[from.field].(string); ok {
			found = append(found, name)
		}
	}
	return found
}
