package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"ottla/mutate"
)

// trial is a chaos campaign that should notice a bug: in one of so many runs, of so
// many rounds each, it reports a violation of one of these kinds.
type trial struct {
	campaign     string
	rounds, runs int
	kinds        []string
}

// trials returns the campaigns that must notice a bug, each of them, or why none
// can.
func trials(b mutate.Bug) (list []trial, why string) {
	switch b {
	case mutate.AckBeforeSync:
		return []trial{{"power", 3, 4, []string{"lost", "inconsistent"}}}, ""
	case mutate.AckOnLocalAppend:
		return []trial{{"power", 3, 4, []string{"lost", "stale read", "inconsistent"}}}, ""
	case mutate.ForgetProducers:
		return []trial{{"storm", 8, 6, []string{"duplicate"}}}, ""
	case mutate.TruncateBadChecksum:
		return []trial{{"damage", 5, 6, []string{"lost"}}}, ""
	case mutate.IgnoreSyncError:
		return []trial{{"sync", 5, 6, []string{"lost"}}}, ""
	case mutate.ReuseBuffer:
		return []trial{{"pause", 3, 4, []string{"lost", "inconsistent", "diverged", "stuck"}}}, ""
	case mutate.OldGeneration:
		return []trial{{"storm", 4, 6, []string{"stale"}}}, ""
	case mutate.SkipDirSync:
		return nil, "ext4 makes a name durable with the next sync of its file"
	case mutate.AheadUnchecked:
		return nil, "in one process a place is wrong only after a change of generation, which is refused anyway"
	}
	return nil, noReason
}

const (
	chaosLimit = 4 * time.Minute // for one run of a campaign
	noReason   = "no campaign and no reason is given"
)

// campaigns runs the chaos campaigns of the bugs, writes the table and returns how
// many campaigns noticed nothing, or something else.
func campaigns(out io.Writer, bugs []mutate.Bug) (survived int, err error) {
	dir, err := os.MkdirTemp("", "ottla-mutate-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for name, args := range map[string][]string{"ottla": {"-tags", "mutate", "."}, "chaos": {"./chaos"}} {
		build := exec.Command("go", append([]string{"build", "-o", filepath.Join(dir, name)}, args...)...)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return 0, fmt.Errorf("build %s: %w", name, err)
		}
	}
	table := tabwriter.NewWriter(out, 20, 0, 2, ' ', 0)
	fmt.Fprintln(table, "bug\tcampaign\tnoticed as\trounds\tseconds")
	for _, b := range bugs {
		list, why := trials(b)
		if len(list) == 0 {
			fmt.Fprintf(table, "%s\tnone: %s\t\t\t\n", b, why)
		}
		for _, t := range list {
			began := time.Now()
			said, rounds, err := t.try(dir, b)
			if err != nil {
				return survived, err
			}
			if said == "" {
				survived++
				said = "NOTHING"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%.0f\n", b, t.campaign, said, rounds, time.Since(began).Seconds())
			if err := table.Flush(); err != nil { // each row takes minutes
				return survived, err
			}
		}
	}
	return survived, table.Flush()
}

// try runs the campaign until a run notices the bug. It returns the kinds of
// violations, "" if no run does, and how many rounds were begun.
func (t trial) try(dir string, b mutate.Bug) (said string, rounds int, err error) {
	for run := 1; run <= t.runs; run++ {
		output, err := t.run(dir, b, run)
		if err != nil {
			return "", 0, err
		}
		c := readChaos(output)
		rounds += c.rounds
		switch {
		case c.skipped != "":
			return "skipped: " + c.skipped, 0, nil
		case slices.ContainsFunc(t.kinds, func(k string) bool { return slices.Contains(c.kinds, k) }):
			return strings.Join(c.kinds, ", "), rounds, nil
		case len(c.kinds) > 0 || c.failure != "":
			fmt.Fprintf(os.Stderr, "%s under %s was noticed as %q (%s) instead of one of %q\n", b, t.campaign, c.kinds, c.failure, t.kinds)
			return "", rounds, nil
		}
	}
	return "", rounds, nil
}

// run runs the campaign once and removes the files that a campaign with violations
// keeps.
func (t trial) run(dir string, b mutate.Bug, run int) (output string, err error) {
	work := filepath.Join(dir, fmt.Sprintf("%s-%s-%d", b, t.campaign, run))
	if err := os.Mkdir(work, 0o755); err != nil {
		return "", err
	}
	images, err := os.MkdirTemp(memory(), "ottla-mutate-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(images), os.RemoveAll(work)) }()
	cmd := exec.Command(filepath.Join(dir, "chaos"), "-binary", filepath.Join(dir, "ottla"), "-campaign", t.campaign,
		"-rounds", strconv.Itoa(t.rounds), "-max-up", "400ms", "-within", chaosLimit.String(), "-dir", work, "-images", images)
	cmd.Env = append(os.Environ(), "OTTLA_MUTATE="+string(b))
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	return string(text), nil
}

// memory returns a directory in memory for disk images, "" if the machine has none.
func memory() string {
	if _, err := os.Stat("/dev/shm"); err == nil {
		return "/dev/shm"
	}
	return ""
}

// chaosCatch is what the output of a campaign says.
type chaosCatch struct {
	kinds   []string // of violations
	rounds  int
	skipped string // why the campaign did nothing
	failure string // why it ended early
}

var (
	chaosKind    = regexp.MustCompile(`(?m)^VIOLATIONS? ([a-z ]+):`)
	chaosRounds  = regexp.MustCompile(`(?m)^(?:([0-9]+) rounds, |chaos: round ([0-9]+): )`)
	chaosSkipped = regexp.MustCompile(`(?m)^SKIPPED \S+ (.*)$`)
	chaosFailed  = regexp.MustCompile(`(?m)^chaos: (.*)$`)
)

func readChaos(output string) (c chaosCatch) {
	for _, m := range chaosKind.FindAllStringSubmatch(output, -1) {
		c.kinds = append(c.kinds, m[1])
	}
	slices.Sort(c.kinds)
	c.kinds = slices.Compact(c.kinds)
	for _, m := range chaosRounds.FindAllStringSubmatch(output, -1) {
		n, _ := strconv.Atoi(m[1] + m[2]) // one of them; digits by the pattern
		c.rounds = max(c.rounds, n)
	}
	if m := chaosSkipped.FindStringSubmatch(output); m != nil {
		c.skipped = m[1]
	}
	if m := chaosFailed.FindStringSubmatch(output); m != nil {
		c.failure = m[1]
	}
	return c
}
