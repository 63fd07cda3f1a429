package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// remote has what the commands that talk to a server share.
type remote struct {
	p *process
	serverFlags
	output string // "table" or "json"
}

// addFlags adds the flags of remote commands to cmd and its subcommands.
func (r *remote) addFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	r.serverFlags.addFlags(flags)
	flags.StringVar(&r.output, "output", "table", "how to print: `FORMAT` is table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// client returns the server that the flags or the environment name.
func (r *remote) client() (*api, error) {
	if r.output != "table" && r.output != "json" {
		return nil, usageError{fmt.Errorf("--output %q must be table or json", r.output)}
	}
	return r.dial(r.p)
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

// connectionFlags say how to reach a server and how to print, not what to ask.
var connectionFlags = map[string]bool{"server": true, "output": true, "ca": true, "cert": true, "key": true, "insecure": true, "context": true, "token": true, "token-file": true, "header": true}

// changed returns the flags that were given as fields of a request. A flag has the
// name of its field, with dashes; renamed has the exceptions.
func changed(flags *pflag.FlagSet, renamed map[string]string) map[string]any {
	fields := map[string]any{}
	flags.Visit(func(f *pflag.Flag) {
		if connectionFlags[f.Name] {
			return
		}
		name := renamed[f.Name]
		if name == "" {
			name = strings.ReplaceAll(f.Name, "-", "_")
		}
		if f.Value.Type() == "string" {
			fields[name] = f.Value.String()
			return
		}
		fields[name] = json.RawMessage(f.Value.String()) // a number or a boolean
	})
	return fields
}

// send sends a request and shows the answer.
func (r *remote) send(cmd *cobra.Command, req request, rows tableOf) error {
	answer, err := r.call(cmd, req)
	if err != nil {
		return err
	}
	return r.show(answer, rows)
}

// change sends a request with fields and shows the answer.
func (r *remote) change(cmd *cobra.Command, method, path string, q []string, fields map[string]any, rows tableOf) error {
	text, err := body(fields)
	if err != nil {
		return err
	}
	return r.send(cmd, request{method: method, path: path, query: query(q...), body: text}, rows)
}

// create creates something, and shows it. That it is there already, with the settings asked
// for, is an error unless the flag if-not-exists is given.
func (r *remote) create(cmd *cobra.Command, path, what string, fields map[string]any, rows tableOf) error {
	tolerant, err := cmd.Flags().GetBool("if-not-exists")
	if err != nil {
		return err
	}
	delete(fields, "if_not_exists")
	text, err := body(fields)
	if err != nil {
		return err
	}
	status := 0
	answer, err := r.call(cmd, request{method: http.MethodPost, path: path, body: text, status: &status})
	if err != nil {
		return err
	}
	if status == http.StatusOK && !tolerant {
		return fmt.Errorf("%s already exists, with these settings; --if-not-exists takes that for a success", printable(what))
	}
	return r.show(answer, rows)
}

// addIfNotExists adds the flag that create looks for.
func addIfNotExists(cmd *cobra.Command) {
	cmd.Flags().Bool("if-not-exists", false, "no error if it exists already with the same settings")
}

// confirmed has the user at the terminal agree to a loss, unless yes is set. Where there is
// no terminal, nobody is asked, as with kubectl and rpk: scripts mean what they say.
func (r *remote) confirmed(yes bool, question string) error {
	if yes || !r.p.asks || r.p.agrees(question+" [y/N]", "y", "yes") {
		return nil
	}
	return errors.New("nothing was deleted")
}

// addYes adds the flag that confirmed goes by.
func addYes(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask; without a terminal nobody is asked anyway")
}

// get sends a GET request and shows the answer.
func (r *remote) get(cmd *cobra.Command, path string, q []string, rows tableOf) error {
	return r.send(cmd, request{method: http.MethodGet, path: path, query: query(q...)}, rows)
}

// remove sends a DELETE request and prints what was deleted.
func (r *remote) remove(cmd *cobra.Command, path string, q []string, what string) error {
	if _, err := r.call(cmd, request{method: http.MethodDelete, path: path, query: query(q...)}); err != nil {
		return err
	}
	if r.output == "table" {
		fmt.Fprintf(r.p.stdout, "%s deleted\n", printable(what))
	}
	return nil
}

// context ends with the first SIGINT, SIGTERM or SIGHUP.
func (r *remote) context(cmd *cobra.Command) (context.Context, func()) {
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithCancel(parent)
	done := r.p.heeds()
	go func() {
		select {
		case <-r.p.signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); done() }
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

// put sends settings with a secret. One that was generated is printed, and nothing else,
// so that it can go into a file.
func (r *remote) put(cmd *cobra.Command, path string, fields map[string]any, secret *secretFlags, key string, rows tableOf) error {
	if !secret.generate {
		return r.change(cmd, http.MethodPut, path, nil, fields, rows)
	}
	text, err := body(fields)
	if err != nil {
		return err
	}
	if _, err := r.call(cmd, request{method: http.MethodPut, path: path, body: text}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.p.stdout, key)
	return err
}

// printSecret sends a request and prints the token of the answer, alone.
func (r *remote) printSecret(cmd *cobra.Command, req request) error {
	answer, err := r.call(cmd, req)
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
}
