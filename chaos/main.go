package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"ottla/chaos/intercept"
)

// options are the options of the command line.
type options struct {
	binary    string
	before    string
	campaign  string
	rounds    int
	seed      int64
	dir       string
	images    string
	results   string
	producers int
	nodes     int
	minUp     time.Duration
	maxUp     time.Duration
	within    time.Duration
	kafka     bool
}

func main() {
	intercept.Main()
	var o options
	flag.StringVar(&o.binary, "binary", "bin/ottla", "the broker")
	flag.StringVar(&o.before, "before", "", "the broker of a version before, of the campaign mixed")
	flag.StringVar(&o.campaign, "campaign", "mix", "which faults are injected, see -list")
	flag.IntVar(&o.rounds, "rounds", 20, "number of faults to inject")
	flag.Int64Var(&o.seed, "seed", time.Now().UnixNano(), "of all random decisions; it also picks the broker whose files are damaged")
	flag.StringVar(&o.dir, "dir", "", "working directory; kept if anything is violated (default: a temporary one)")
	flag.StringVar(&o.images, "images", "", "where disk images are kept (default: /dev/shm if it has room, else the working directory)")
	flag.StringVar(&o.results, "results", "", "file that the result is appended to, as a line of JSON")
	flag.IntVar(&o.producers, "producers", 8, "producers on the main topic, every other one with batches")
	flag.IntVar(&o.nodes, "nodes", 3, "processes of the campaigns on a fleet")
	flag.DurationVar(&o.minUp, "min-up", 20*time.Millisecond, "shortest time between two rounds")
	flag.DurationVar(&o.maxUp, "max-up", time.Second, "longest time between two rounds")
	flag.DurationVar(&o.within, "within", 0, "begin no round after this time (default: no limit)")
	flag.BoolVar(&o.kafka, "kafka", false, "have Kafka clients work on the same topics and groups; of fleets in nodes, split and roll")
	list := flag.Bool("list", false, "list the campaigns")
	sum := flag.Bool("sum", false, "add up the results in the files given as arguments")
	flag.Parse()
	os.Exit(command(&o, *list, *sum, flag.Args(), os.Stdout))
}

// command does what the options say and returns the exit status.
func command(o *options, list, sum bool, args []string, out io.Writer) int {
	var err error
	switch {
	case list:
		listCampaigns(out)
	case sum:
		err = sumResults(args, out)
	default:
		var res *result
		if res, err = runCampaign(o, out); err == nil && len(res.Violations) > 0 {
			return 1
		}
	}
	var missing *missingError
	if errors.As(err, &missing) {
		fmt.Fprintf(out, "SKIPPED %s: %s\n", o.campaign, missing.what)
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	return 0
}

// missingError says what a campaign needs that this machine does not have.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what }
