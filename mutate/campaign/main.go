package main

import (
	"errors"
	"flag"
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

// suite is a set of tests that should notice a bug; it is enough if one fails.
type suite struct {
	name, pkg, run string
}

var (
	simulation = suite{"simulation", "actors/replica", "Simulation"}
	disk       = suite{"disk", "actors/disk", "^TestDisk"}
	node       = suite{"node", "actors", "^TestIdempotentProduceOverRestart$"}
	groups     = suite{"groups", "actors/group", "^TestGroupScripts$"}
	readers    = suite{"readers", "actors/group", "^TestStormOfReadersAhead$"}
	recovery   = suite{"recovery", "logfile", "^Test(Crash|Recovery|Cut|Bit|RandomHistories|Failed|EverySync|OpenNotices|Judge|Block|Order)"}
)

// noticedBy returns the suites that must notice a bug, each of them.
func noticedBy(b mutate.Bug) []suite {
	switch b {
	case mutate.AckBeforeSync:
		return []suite{simulation, disk, recovery}
	case mutate.AckOnLocalAppend, mutate.IgnoreSyncError, mutate.ReuseBuffer:
		return []suite{simulation}
	case mutate.ForgetProducers:
		return []suite{simulation, node}
	case mutate.TruncateBadChecksum:
		return []suite{recovery}
	case mutate.SkipDirSync:
		return []suite{simulation, recovery}
	case mutate.OldGeneration:
		return []suite{groups}
	case mutate.AheadUnchecked:
		return []suite{readers}
	}
	return nil
}

func main() {
	chaos := flag.Bool("chaos", false, "run chaos campaigns instead of tests; some need root")
	flag.Parse()
	bugs := mutate.All()
	if flag.NArg() > 0 {
		bugs = nil
	}
	for _, name := range flag.Args() {
		if !slices.Contains(mutate.All(), mutate.Bug(name)) {
			fmt.Fprintf(os.Stderr, "mutate: there is no bug %q, there are %q\n", name, mutate.All())
			os.Exit(2)
		}
		bugs = append(bugs, mutate.Bug(name))
	}
	run := campaign
	if *chaos {
		run = campaigns
	}
	survived, err := run(os.Stdout, bugs)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	case survived > 0:
		fmt.Fprintf(os.Stderr, "mutate: %d times a bug was not noticed\n", survived)
		os.Exit(1)
	}
}

// campaign runs the suites of the bugs, writes the table and returns how many suites
// noticed nothing.
func campaign(out io.Writer, bugs []mutate.Bug) (survived int, err error) {
	dir, err := os.MkdirTemp("", "ottla-mutate-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, pkg := range []string{"actors", "actors/disk", "actors/group", "actors/replica", "logfile"} {
		build := exec.Command("go", "test", "-c", "-tags", "mutate", "-o", binary(dir, pkg), "./"+pkg)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return 0, fmt.Errorf("build the tests of %s: %w", pkg, err)
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "bug\tsuite\tnoticed by\tseeds\tseconds")
	for _, b := range bugs {
		for _, s := range noticedBy(b) {
			began := time.Now()
			c, err := attempt(dir, s, b)
			if err != nil {
				return survived, err
			}
			if c.test == "" {
				survived++
				c.test = "NOBODY"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.1f\n", b, s.name, c.test, c.seeds, time.Since(began).Seconds())
		}
	}
	return survived, table.Flush()
}

func binary(dir, pkg string) string {
	return filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// attempt runs a suite with a bug built in.
func attempt(dir string, s suite, b mutate.Bug) (catch, error) {
	run := exec.Command(binary(dir, s.pkg), "-test.run", s.run, "-test.failfast", "-test.short", "-test.v", "-test.timeout", "3m")
	run.Dir = s.pkg // for the testdata
	run.Env = append(os.Environ(), "OTTLA_MUTATE="+string(b), "OTTLA_SIM_FIRST=1", "OTTLA_SIM_SEEDS=300")
	output, err := run.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return catch{}, err
	}
	if err == nil {
		return catch{}, nil
	}
	return read(string(output)), nil
}

// catch is the test that failed, and which of its seeds it was.
type catch struct{ test, seeds string }

var (
	failed  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	started = regexp.MustCompile(`(?m)^=== RUN\s+(\S+)`)
)

// read finds the first test that failed in the output of a suite. A panic or a
// timeout leaves no such line; then it is the last test that began.
func read(output string) catch {
	name := ""
	if all := failed.FindAllStringSubmatch(output, -1); len(all) > 0 {
		name = all[0][1]
		for _, m := range all { // a subtest's name says more
			if strings.HasPrefix(m[1], name+"/") {
				name = m[1]
			}
		}
	} else if all := started.FindAllStringSubmatch(output, -1); len(all) > 0 {
		name = all[len(all)-1][1]
	} else {
		return catch{test: "a test binary that does not start"}
	}
	test, seed, isSeed := strings.Cut(name, "/seed=")
	if n, err := strconv.Atoi(seed); isSeed && err == nil {
		return catch{test: test, seeds: strconv.Itoa(n)} // the first is 1
	}
	return catch{test: name, seeds: "-"}
}
