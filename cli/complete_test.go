package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

// The help of every command has an example.
func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		if cmd.HasSubCommands() || cmd.Hidden || cmd.Name() == "help" {
			return
		}
		assert.NotEmpty(t, cmd.Short, cmd.CommandPath())
		for line := range strings.Lines(cmd.Example) {
			assert.Contains(t, line, cmd.CommandPath()+strings.Repeat(" ", min(1, len(strings.Fields(line))-len(strings.Fields(cmd.CommandPath())))),
				"%s: %s", cmd.CommandPath(), line)
		}
		assert.NotEmpty(t, cmd.Example, cmd.CommandPath())
	}
	p, _, _, _ := testProcess(t, nil)
	walk(newRoot(p))
}

func TestCompletionOfNames(t *testing.T) {
	s := newStandIn(t, func(_ int, a asked) (int, string) {
		switch a.line {
		case "GET /topic":
			return 200, `{"topics":[{"name":"liked"},{"name":"clicks"}]}`
		case "GET /topic?cluster=c":
			return 200, `{"topics":[{"name":"orders"}]}`
		case "GET /cluster":
			return 200, `{"clusters":[{"name":"c"},{"name":"default"}]}`
		case "GET /groups":
			return 200, `{"groups":[{"group":"mailer"}]}`
		}
		return 404, `{}`
	})
	for args, want := range map[string]string{
		"consume ,":                   "liked clicks :4",
		"consume --cluster c ,":       "orders :4",
		"consume liked ,":             "liked clicks :4",
		"produce ,":                   "liked clicks :4",
		"produce --key k ,":           "liked clicks :4", // the key of records, not that of a certificate
		"produce liked ,":             ":0",              // a file
		"topic describe ,":            "liked clicks :4",
		"topic create ,":              ":4",
		"topic list ,":                ":4",
		"cluster delete ,":            "c default :4",
		"cluster stop-broker ,":       "c default :4",
		"group seek ,":                "mailer :4",
		"group seek mailer --topic ,": "liked clicks :4",
		"consume liked --group ,":     "mailer :4",
		"consume liked --from ,":      "earliest latest :4",
		"topic list --output ,":       "table json :4",
		"topic list --cluster ,":      "c default :4",
		"log verify ,":                ":16", // directories
	} {
		words := append([]string{"__complete"}, strings.Fields(strings.ReplaceAll(args, ",", ""))...)
		code, stdout, _ := s.ottla(t, "", append(words, "")...)
		assert.Equal(t, exitOK, code, args)
		assert.Equal(t, want, strings.Join(strings.Fields(stdout), " "), args)
	}
}

// Completion must not print errors into the command line.
func TestCompletionWithoutAServer(t *testing.T) {
	s := newStandIn(t, func(int, asked) (int, string) { return 500, "broken" })
	code, stdout, _ := s.ottla(t, "", "__complete", "consume", "")
	assert.Equal(t, exitOK, code)
	assert.Equal(t, ":4\n", stdout)
}
