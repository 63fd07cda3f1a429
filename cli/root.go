package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes of the binary.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// process is the part of its process that a command may use, so that tests can
// replace all of it.
type process struct {
	stdin     io.Reader
	stdout    io.Writer
	stderr    io.Writer
	terminal  bool      // stderr is one: run makes what is not printable visible on it
	control   io.Writer // the same without that, for colours and progress; set by run
	asks      bool      // stdin is one: there is somebody to ask
	lookupEnv func(string) (string, bool)
	signals   <-chan os.Signal // SIGINT, SIGTERM and SIGHUP; capacity at least 2
	heeded    *atomic.Int32    // how many read them: while nobody does they end the process; nil: they do not
	open      opener
	linger    time.Duration // how long `ottla produce` waits for more lines, 0: produceLinger
	streams   func()        // called by commands that pass many records on; nil: nothing is to be done
}

// passes says that a command passes many records on.
func (p *process) passes() {
	if p.streams != nil {
		p.streams()
	}
}

// heeds says that the command reads the signals from now on, until done is called.
func (p *process) heeds() (done func()) {
	if p.heeded == nil {
		return func() {}
	}
	p.heeded.Add(1)
	return sync.OnceFunc(func() { p.heeded.Add(-1) })
}

// usageError marks errors in the command line: exit status 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// run executes the command that args name and returns the exit status.
func run(p *process, args []string) int {
	if p.control = p.stderr; p.terminal {
		p.stderr = &visibleWriter{w: p.control} // errors have what servers, records and arguments say
	}
	root := newRoot(p)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		p.say(red, fmt.Sprintf("%v\nRun '%s --help' for usage.", err, cmd.CommandPath()))
		return exitUsage
	default:
		p.say(red, err.Error())
		return exitFailed
	}
}

// clientGroup is the group of commands in the help text that talk to a server.
const clientGroup = "client"

func newRoot(p *process) *cobra.Command {
	serve := newServe(p)
	root := &cobra.Command{
		Use:   "ottla",
		Short: "A partitioned, replicated log broker with a plain HTTP API",
		Long: "Ottla is a Kafka-like broker over plain HTTP: partitioned, replicated logs,\n" +
			"keyed and round-robin produce, consumer groups and long polls.\n\n" +
			"Without a subcommand it runs the server, as 'ottla serve' does.",
		Args:          noArgs,
		RunE:          serve.RunE,
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetVersionTemplate("ottla {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.Flags().AddFlagSet(serve.Flags())
	root.AddCommand(serve, newVersion())
	root.AddGroup(&cobra.Group{ID: clientGroup, Title: "Commands that talk to a server:"})
	for _, cmd := range []*cobra.Command{newCluster(p), newTopic(p), newProduce(p), newConsume(p), newOffset(p), newGroup(p), newQueue(p), newSource(p), newSubscription(p), newToken(p), newContext(p), newStatus(p), newHealth(p)} {
		cmd.GroupID = clientGroup
		root.AddCommand(cmd)
	}
	root.AddCommand(newLog(p), newNode(p), newFleet(p), newBackup(p), newRestore(p), newMirror(p), newBench(p))
	addCompletions(p, root)
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  ottla version",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "ottla %s\n", buildVersion())
			return err
		},
	}
}

// noArgs refuses positional arguments. For a command with subcommands they are
// names of subcommands that do not exist.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return usageError{fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0])}
}
