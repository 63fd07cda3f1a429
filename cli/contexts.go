package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

// contextFile is what `ottla context` keeps: servers by name, each with what is
// needed to ask it. Only its owner can read it.
type contextFile struct {
	Current  string                  `json:"current,omitempty"` // the one in use; "": none
	Contexts map[string]*savedServer `json:"contexts"`
}

// savedServer is one context.
type savedServer struct {
	Server    string `json:"server"`
	Token     string `json:"token,omitempty"`
	TokenFile string `json:"token_file,omitempty"` // read each time
	CA        string `json:"ca,omitempty"`
	Cert      string `json:"cert,omitempty"`
	Key       string `json:"key,omitempty"`
	Insecure  bool   `json:"insecure,omitempty"`

	Headers map[string]string `json:"headers,omitempty"` // of every request
}

// contextPath is where the file is; "" if the environment does not say where a
// user's settings are.
func contextPath(lookupEnv func(string) (string, bool)) string {
	if dir, found := lookupEnv("XDG_CONFIG_HOME"); found && filepath.IsAbs(dir) {
		return filepath.Join(dir, "ottla", "contexts.json")
	}
	if home, found := lookupEnv("HOME"); found && filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "ottla", "contexts.json")
	}
	return ""
}

// readContexts reads the file; one that does not exist has no contexts.
func readContexts(path string) (*contextFile, error) {
	f := &contextFile{Contexts: map[string]*savedServer{}}
	if path == "" {
		return f, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("contexts: %w", err)
	}
	err = json.Unmarshal(text, f)
	if err != nil || f.Contexts == nil || slices.Contains(slices.Collect(maps.Values(f.Contexts)), nil) {
		return nil, fmt.Errorf("contexts: %s is damaged: remove it, or mend its JSON", path)
	}
	return f, nil
}

// write replaces the file as a whole.
func (f *contextFile) write(path string) error {
	if path == "" {
		return errors.New("contexts: neither HOME nor XDG_CONFIG_HOME says where they are kept")
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(path), ".contexts-*") // mode 0600
	if err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	_, err = next.Write(append(text, '\n'))
	err = errors.Join(err, next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("contexts: %w", err), os.Remove(next.Name()))
	}
	return nil
}

// inUse is the context of --context, OTTLA_CONTEXT or `ottla context use`; nil if
// there is none.
func inUse(named string, lookupEnv func(string) (string, bool)) (*savedServer, error) {
	explicit := named
	if explicit == "" {
		explicit, _ = envOf(lookupEnv, "OTTLA_CONTEXT")
	}
	f, err := readContexts(contextPath(lookupEnv))
	switch {
	case err != nil && explicit == "":
		return nil, err
	case err != nil:
		return nil, usageError{err}
	case explicit == "":
		return f.Contexts[f.Current], nil
	case f.Contexts[explicit] == nil:
		return nil, usageError{fmt.Errorf("there is no context %q; 'ottla context list' shows what there is", explicit)}
	}
	return f.Contexts[explicit], nil
}

func envOf(lookupEnv func(string) (string, bool), name string) (string, bool) {
	text, found := lookupEnv(name)
	if !found {
		text = ""
	}
	return text, found
}

func newContext(p *process) *cobra.Command {
	return family("context", "Keep servers and their tokens by name",
		newContextAdd(p), newContextUse(p), newContextList(p), newContextRemove(p))
}

// changeContexts reads the file, has change change it, and writes it.
func changeContexts(p *process, change func(*contextFile) error) error {
	path := contextPath(p.lookupEnv)
	f, err := readContexts(path)
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	return f.write(path)
}

func newContextAdd(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := &cobra.Command{
		Use:   "add NAME --server URL",
		Short: "Keep a server by a name, and use it from now on",
		Long: "Keep a server by a name, with its token, certificates and headers, and use it from now on.\n" +
			"The file ~/.config/ottla/contexts.json can be read by its owner only. With\n" +
			"--token-file the path is kept, and the file read each time; with --token-file -\n" +
			"the token is read from standard input, so that no command line has it.",
		Example: "  ottla context add prod --server https://ottla.example:8080 --ca ca.pem --token-file -",
		Args:    exactArgs("a NAME"),
	}
	r.addFlags(cmd)
	_ = cmd.PersistentFlags().MarkHidden("output")
	_ = cmd.PersistentFlags().MarkHidden("context")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !protocol.ValidName(args[0]) {
			return usageError{fmt.Errorf("%q is no name: 1 to %d of letters, digits, '.', '_' and '-'", args[0], protocol.MaxNameLength)}
		}
		s, err := r.saved(p)
		if err != nil {
			return err
		}
		err = changeContexts(p, func(f *contextFile) error {
			f.Contexts[args[0]], f.Current = s, args[0]
			return nil
		})
		if err == nil {
			fmt.Fprintf(p.stdout, "context %s is in use\n", args[0])
		}
		return err
	}
	return cmd
}

func newContextUse(p *process) *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Use a context from now on", Args: exactArgs("a NAME"),
		Long:    "Use a context from now on. --context and OTTLA_CONTEXT name another for one command,\nand --server and OTTLA_SERVER a server without any context.",
		Example: "  ottla context use prod",
		RunE: func(_ *cobra.Command, args []string) error {
			return changeContexts(p, func(f *contextFile) error {
				if f.Contexts[args[0]] == nil {
					return fmt.Errorf("there is no context %q; 'ottla context list' shows what there is", args[0])
				}
				f.Current = args[0]
				return nil
			})
		},
	}
}

func newContextList(p *process) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List contexts; tokens are not shown", Args: exactArgs(),
		Example: "  ottla context list",
		RunE: func(*cobra.Command, []string) error {
			f, err := readContexts(contextPath(p.lookupEnv))
			if err != nil {
				return err
			}
			rows := [][]string{{"IN USE", "NAME", "SERVER", "TOKEN"}}
			for _, name := range slices.Sorted(maps.Keys(f.Contexts)) {
				s, used, token := f.Contexts[name], "", ""
				if name == f.Current {
					used = "*"
				}
				switch {
				case s.Token != "":
					token = "kept"
				case s.TokenFile != "":
					token = s.TokenFile
				}
				rows = append(rows, []string{used, name, s.Server, token})
			}
			return printTable(p.stdout, rows)
		},
	}
}

func newContextRemove(p *process) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Forget a context, and its token", Args: exactArgs("a NAME"),
		Example: "  ottla context remove prod",
		RunE: func(_ *cobra.Command, args []string) error {
			return changeContexts(p, func(f *contextFile) error {
				if f.Contexts[args[0]] == nil {
					return fmt.Errorf("there is no context %q; 'ottla context list' shows what there is", args[0])
				}
				delete(f.Contexts, args[0])
				if f.Current == args[0] {
					f.Current = ""
				}
				return nil
			})
		},
	}
}
