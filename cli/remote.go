package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// remote has what the commands that talk to a server share.
type remote struct {
	p      *process
	server string
	output string // "table" or "json"
}

// addFlags adds the flags of remote commands to cmd and its subcommands.
func (r *remote) addFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&r.server, "server", "", "`URL` of the server (default: OTTLA_SERVER, else "+defaultServer+")")
	flags.StringVar(&r.output, "output", "table", "how to print: `FORMAT` is table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// client returns the server that the flags or the environment name.
func (r *remote) client() (*api, error) {
	if r.output != "table" && r.output != "json" {
		return nil, usageError{fmt.Errorf("--output %q must be table or json", r.output)}
	}
	server := r.server
	if server == "" {
		server, _ = r.p.lookupEnv("OTTLA_SERVER")
	}
	if server == "" {
		server = defaultServer
	}
	return newAPI(server)
}

// call sends one request and returns the JSON of the answer.
func (r *remote) call(cmd *cobra.Command, req request) (json.RawMessage, error) {
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	ctx, stop := r.context(cmd)
	defer stop()
	answer, err := c.do(ctx, req)
	return answer, interrupted(err)
}

// context ends with the first SIGINT or SIGTERM.
func (r *remote) context(cmd *cobra.Command) (context.Context, func()) {
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-r.p.signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// interrupted replaces the error of a cancelled context by a readable one.
func interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}

// body encodes the fields of a request.
func body(fields map[string]any) ([]byte, error) {
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return text, nil
}

// show prints an answer, either as indented JSON or as the table that rows makes
// of it.
func (r *remote) show(answer json.RawMessage, rows func() ([][]string, error)) error {
	if r.output == "json" {
		return printJSON(r.p.stdout, answer)
	}
	table, err := rows()
	if err != nil {
		return err
	}
	return printTable(r.p.stdout, table)
}

// decode decodes the part of an answer that a table shows.
func decode(answer json.RawMessage, out any) error {
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the answer is not what an Ottla server gives: %w", err)
	}
	return nil
}

// printJSON prints indented JSON; numbers stay digit for digit.
func printJSON(w io.Writer, text json.RawMessage) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printTable prints rows in columns; the first row is the head. Control characters
// in stored data do not reach the terminal.
func printTable(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, printable(cell))
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

func printable(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c == 0x7f {
			return '?'
		}
		return c
	}, s)
}

// number is an offset, an id or a count as text.
func number[T ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// when is a time as the API writes it, "" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// exactArgs accepts exactly the arguments that names lists.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usageError{fmt.Errorf("%s needs %s", cmd.CommandPath(), names[len(args)])}
		}
		if len(args) > len(names) {
			what := strings.Join(names, " and ")
			if what == "" {
				what = "no argument"
			}
			return usageError{fmt.Errorf("%s takes %s: %q is one too many", cmd.CommandPath(), what, args[len(names)])}
		}
		return nil
	}
}

// family is a command that only has subcommands.
func family(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("%s needs a command", cmd.CommandPath())}
			}
			return noArgs(cmd, args)
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(children...)
	return cmd
}

// openInput opens FILE, or standard input for none and for "-".
func (p *process) openInput(args []string) (io.ReadCloser, int64, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.NopCloser(p.stdin), 0, nil
	}
	f, err := os.Open(args[0])
	if err != nil {
		return nil, 0, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, fi.Size(), nil
}
