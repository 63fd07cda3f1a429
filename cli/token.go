package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
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

// shownToken is the token that the flags or the environment name; "" if none does.
func (r *remote) shownToken() (string, error) {
	token, file := r.token, r.tokenFile
	if token == "" && file == "" {
		token, _ = envOf(r.p.lookupEnv, "OTTLA_TOKEN")
		if token == "" {
			file, _ = envOf(r.p.lookupEnv, "OTTLA_TOKEN_FILE")
		}
	}
	switch {
	case token != "" && file != "":
		return "", errTwoTokens
	case file == "-":
		return tokenFrom(r.p.stdin, "standard input")
	case file != "":
		return tokenInFile(file)
	}
	token = strings.TrimSpace(token)
	return token, checkToken(token)
}

func newToken(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("token", "Create, list, describe, alter and delete tokens",
		newTokenCreate(r), newTokenList(r), newTokenDescribe(r), newTokenAlter(r), newTokenDelete(r))
	r.addFlags(cmd)
	return cmd
}

// tokenFlags are the settings of a token.
type tokenFlags struct {
	allow   []string
	expires string
}

const allowUsage = "`WHAT` it may do: read, write and admin between commas, then topics=, groups= and cluster= with a pattern each; repeatable"

func (f *tokenFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.allow, "allow", nil, allowUsage)
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
			answer, err := r.call(cmd, request{method: http.MethodPost, path: "/tokens", body: text})
			if err != nil {
				return err
			}
			if r.output == "json" {
				return printJSON(r.p.stdout, answer)
			}
			var created struct{ Token string }
			if err := json.Unmarshal(answer, &created); err != nil || created.Token == "" {
				return errors.New("the answer is not what an Ottla server gives")
			}
			_, err = fmt.Fprintln(r.p.stdout, created.Token)
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func newTokenList(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tokens: all of them, or one's own", Args: exactArgs(),
		Example: "  ottla token list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.get(cmd, "/tokens", nil, table(func(a *struct{ Tokens []protocol.TokenInfo }) [][]string { return tokenRows(a.Tokens) }))
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
				return usageError{fmt.Errorf("%s needs --allow or --expires", cmd.CommandPath())}
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
	rows := [][]string{{"NAME", "MAY", "TOPICS", "GROUPS", "CLUSTERS", "EXPIRES"}}
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
			rows = append(rows, []string{t.Name, strings.Join(g.Do, ","), topics, groups, cluster, expires})
		}
	}
	return rows
}
