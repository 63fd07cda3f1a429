package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

var errTwoTokens = usageError{errors.New("--token and --token-file exclude each other")}

// tokenFrom reads a token of one line. Errors never have the token in them.
func tokenFrom(r io.Reader, name string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxTokenBytes+3))
	token := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return "", usageError{fmt.Errorf("token: %w", err)}
	case token == "":
		return "", usageError{fmt.Errorf("token: %s is empty", name)}
	}
	return token, checkToken(token)
}

// checkToken refuses what is no token; "" stands for none.
func checkToken(token string) error {
	if len(token) > maxTokenBytes || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return usageError{fmt.Errorf("a token is up to %d printable ASCII characters without spaces", maxTokenBytes)}
	}
	return nil
}

// tokenInFile reads a token from a file.
func tokenInFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", usageError{fmt.Errorf("token: %w", err)}
	}
	token, err := tokenFrom(f, path)
	return token, errors.Join(err, f.Close())
}

func newToken(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("token", "Create, list, describe, alter, rotate and delete tokens",
		newTokenCreate(r), newTokenList(r), newTokenDescribe(r), newTokenAlter(r), newTokenRotate(r), newTokenDelete(r))
	r.addFlags(cmd)
	return cmd
}

// tokenFlags are the settings of a token.
type tokenFlags struct {
	allow   []string
	expires string
	quota   []string
}

const allowUsage = "`WHAT` it may do: read, write and admin between commas, then topics=, groups= and cluster= with a pattern each; repeatable"

func (f *tokenFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.allow, "allow", nil, allowUsage)
	cmd.Flags().StringArrayVar(&f.quota, "quota", nil, "`BOUND` of what it uses: produce_bytes_per_s=1MiB, fetch_bytes_per_s=, requests_per_s=, connections=, partitions=, or none; repeatable")
	cmd.Flags().StringVar(&f.expires, "expires", "", "`WHEN` it expires: never, in 12h or 30d, or at a time such as 2027-01-31T12:00:00Z")
}

// fields are the fields of the request.
func (f *tokenFlags) fields(cmd *cobra.Command, now time.Time) (map[string]any, error) {
	fields := map[string]any{}
	if len(f.allow) > 0 {
		var grants []protocol.Grant
		for _, text := range f.allow {
			g, err := parseGrant(text)
			if err != nil {
				return nil, err
			}
			grants = append(grants, g)
		}
		fields["allow"] = grants
	}
	if len(f.quota) > 0 {
		quota, err := parseQuota(f.quota)
		if err != nil {
			return nil, err
		}
		fields["quota"] = quota
	}
	if !cmd.Flags().Changed("expires") {
		return fields, nil
	}
	if f.expires == "never" {
		fields["expires_at"] = nil
		return fields, nil
	}
	if d, err := parseDuration(f.expires); err == nil && d > 0 {
		fields["expires_at"] = now.Add(d).UTC().Format(time.RFC3339)
		return fields, nil
	}
	at, err := time.Parse(time.RFC3339, f.expires)
	if err != nil {
		return nil, usageError{fmt.Errorf("--expires %q must be never, a duration such as 12h or 30d, or a time such as 2027-01-31T12:00:00Z", f.expires)}
	}
	fields["expires_at"] = at.UTC().Format(time.RFC3339)
	return fields, nil
}

// parseGrant parses a value of --allow. The server judges names and patterns.
func parseGrant(text string) (g protocol.Grant, err error) {
	for i, word := range strings.Fields(text) {
		if i == 0 {
			g.Do = strings.Split(word, ",")
			for _, do := range g.Do {
				if !slices.Contains([]string{"read", "write", "admin"}, do) {
					return g, usageError{fmt.Errorf("--allow %q: %q is none of read, write and admin; of some topics only: --allow 'read,write topics=team-a.*'", text, do)}
				}
			}
			continue
		}
		name, pattern, found := strings.Cut(word, "=")
		dst := map[string]*string{"topics": &g.Topics, "groups": &g.Groups, "cluster": &g.Cluster}[name]
		if !found || dst == nil || pattern == "" || *dst != "" {
			return g, usageError{fmt.Errorf("--allow %q: %q is none of topics=PATTERN, groups=PATTERN and cluster=PATTERN", text, word)}
		}
		*dst = pattern
	}
	if len(g.Do) == 0 {
		return g, usageError{fmt.Errorf("--allow %q begins with what is allowed: read, write, admin", text)}
	}
	return g, nil
}

// parseQuota parses the values of --quota. The server judges the names.
func parseQuota(bounds []string) (any, error) {
	if len(bounds) == 1 && bounds[0] == "none" {
		return nil, nil
	}
	quota := map[string]sizeFlag{}
	for _, text := range bounds {
		name, size, found := strings.Cut(text, "=")
		var n sizeFlag
		if !found || name == "" || n.Set(size) != nil {
			return nil, usageError{fmt.Errorf("--quota %q is not such as requests_per_s=100 or produce_bytes_per_s=1MiB", text)}
		}
		quota[name] = n
	}
	return quota, nil
}

func newTokenCreate(r *remote) *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "create NAME --allow WHAT",
		Short: "Create a token and print it",
		Long: "Create a token and print it: the server keeps only its hash, so nothing shows it again.\n" +
			"A pattern is a name, or the beginning of one followed by *. Without topics= and groups=\n" +
			"a grant is for everything in its clusters.",
		Example: "  ottla token create team-a --allow 'read,write topics=team-a.* groups=team-a.*' > team-a.token\n" +
			"  ottla token create prometheus --allow read --expires 365d",
		Args: exactArgs("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.allow) == 0 {
				return usageError{fmt.Errorf("%s needs --allow", cmd.CommandPath())}
			}
			fields, err := f.fields(cmd, time.Now())
			if err != nil {
				return err
			}
			fields["name"] = args[0]
			text, err := body(fields)
			if err != nil {
				return err
			}
			return r.printSecret(cmd, request{method: http.MethodPost, path: "/tokens", body: text})
		},
	}
	f.add(cmd)
	return cmd
}

func newTokenRotate(r *remote) *cobra.Command {
	overlap := msFlag(protocol.DefaultOverlapMs)
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Give a token another secret and print it", Args: exactArgs("a NAME"),
		Long: "Give a token another secret and print it: nothing shows it again. What the token may do\n" +
			"stays. The secret before is valid for the time of --overlap, so that everybody who has it\n" +
			"can be given the new one; then it is refused, and what it has opened ends. The one before\n" +
			"that is refused at once.",
		Example: "  ottla token rotate team-a > team-a.token\n  ottla token rotate team-a --overlap 0   # it has leaked",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := body(map[string]any{"overlap_ms": int64(overlap)})
			if err != nil {
				return err
			}
			return r.printSecret(cmd, request{method: http.MethodPost, path: path("tokens", args[0], "rotate"), body: text})
		},
	}
	cmd.Flags().Var(&overlap, "overlap", "for how long the secret before is valid too: `TIME` such as 1h or 7d; 0: not any more")
	return cmd
}

func newTokenList(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tokens: all of them, or one's own", Args: exactArgs(),
		Example: "  ottla token list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.list(cmd, "/tokens", "tokens", nil, table(func(a *struct{ Tokens []protocol.TokenInfo }) [][]string { return tokenRows(a.Tokens) }))
		},
	}
}

func newTokenDescribe(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show what a token may do", Args: exactArgs("a NAME"),
		Example: "  ottla token describe team-a",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.get(cmd, path("tokens", args[0]), nil, table(describeToken))
		},
	}
}

func newTokenAlter(r *remote) *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:     "alter NAME",
		Short:   "Change what a token may do, or when it expires",
		Long:    "Change what a token may do, or when it expires. It takes effect at once, also for polls\nthat wait and for open streams. The token itself stays the same.",
		Example: "  ottla token alter team-a --allow 'read topics=team-a.* groups=team-a.*'\n  ottla token alter team-a --expires never",
		Args:    exactArgs("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			fields, err := f.fields(cmd, time.Now())
			if err != nil {
				return err
			}
			if len(fields) == 0 {
				return usageError{fmt.Errorf("%s needs --allow, --quota or --expires", cmd.CommandPath())}
			}
			return r.change(cmd, http.MethodPatch, path("tokens", args[0]), nil, fields, table(describeToken))
		},
	}
	f.add(cmd)
	return cmd
}

func newTokenDelete(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a token: from now on it is not valid", Args: exactArgs("a NAME"),
		Example: "  ottla token delete team-a",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.remove(cmd, path("tokens", args[0]), nil, "token "+args[0])
		},
	}
}

func describeToken(t *protocol.TokenInfo) [][]string { return tokenRows([]protocol.TokenInfo{*t}) }

// tokenRows has a line for each grant.
func tokenRows(tokens []protocol.TokenInfo) [][]string {
	rows := [][]string{{"NAME", "MAY", "TOPICS", "GROUPS", "CLUSTERS", "EXPIRES", "QUOTA"}}
	for _, t := range tokens {
		expires := "never"
		if t.ExpiresAt != nil {
			expires = t.ExpiresAt.Format(time.RFC3339)
		}
		for _, g := range t.Allow {
			topics, groups, cluster := g.Topics, g.Groups, g.Cluster
			if topics == "" && groups == "" {
				topics, groups = "everything", "everything"
			}
			if cluster == "" {
				cluster = "*"
			}
			rows = append(rows, []string{t.Name, strings.Join(g.Do, ","), topics, groups, cluster, expires, quotaText(t.Quota)})
		}
	}
	return rows
}

// quotaText is a quota in a cell of a table.
func quotaText(q *protocol.TokenQuota) string {
	if q == nil {
		return ""
	}
	var bounds []string
	for _, b := range []struct {
		name string
		n    int64
	}{
		{"produce_bytes_per_s", q.ProduceBytes},
		{"fetch_bytes_per_s", q.FetchBytes},
		{"requests_per_s", q.Requests},
		{"connections", q.Connections},
		{"partitions", q.Partitions},
	} {
		if b.n > 0 {
			bounds = append(bounds, fmt.Sprintf("%s=%d", b.name, b.n))
		}
	}
	return strings.Join(bounds, " ")
}
