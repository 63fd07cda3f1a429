package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Only the scrub finds damage in a sealed segment that nobody reads. When a campaign
// has damaged files, the last start of the broker scrubs at the shortest interval
// that the configuration allows; every copy is due in the first seventh of it.
const (
	scrubInterval  = "1m"
	scrubBandwidth = "1GiB"
	scrubLimit     = 2 * time.Minute // for every copy to be verified, or replaced and verified
)

// damagedFiles reports whether the campaign has damaged files.
func (w verdict) damagedFiles() bool {
	return w.injected[faultFlip.name]+w.injected[faultLive.name]+w.injected[faultAll.name] > 0
}

// waitScrubbed waits until the scrub has verified as many copies as there are. It
// verifies none twice before the interval is over; a damaged one counts when its
// replacement is verified. It returns in how many copies the scrub found damage.
func (w verdict) waitScrubbed() (damaged int) {
	for deadline := time.Now().Add(scrubLimit); ; pause(context.Background(), 50*time.Millisecond) {
		copies, err := w.s.copies()
		verified, verr := w.s.metric("ottla_scrub_replicas_total")
		found, ferr := w.s.metric("ottla_scrub_damaged_replicas_total")
		err = errors.Join(err, verr, ferr)
		if err == nil && copies > 0 && verified >= copies {
			return found
		}
		if time.Now().After(deadline) {
			w.rec.violate("stuck", "the scrub has verified %d of %d copies after %s: %v", verified, copies, scrubLimit, err)
			return found
		}
	}
}

// copyDir matches the directory of a replica in use. A directory that was replaced
// or is being deleted has a dot in its name, and no topic of a campaign has one.
var copyDir = regexp.MustCompile(`/[a-z_-]+-[0-9]+$`)

// copies counts the directories of all brokers' replicas.
func (s *server) copies() (n int, err error) {
	dirs, err := filepath.Glob(filepath.Join(s.clusterDir(), "broker-[0-9]", "*-[0-9]*"))
	for _, dir := range dirs {
		if copyDir.MatchString(dir) {
			n++
		}
	}
	return n, err
}

// metric reads a counter without labels.
func (s *server) metric(name string) (int, error) {
	status, body := s.get("/metrics")
	if status != http.StatusOK {
		return 0, fmt.Errorf("metrics: %d %.300s", status, body)
	}
	for line := range bytes.Lines(body) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			f, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
			return int(f), err
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// verify runs ottla log verify on every file of the stopped broker.
func (w verdict) verify() (all []violation, err error) {
	for _, s := range w.nodes {
		found, err := s.verify()
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func (s *server) verify() ([]violation, error) {
	var stderr bytes.Buffer
	run := exec.Command(s.binary, "log", "verify", s.dir)
	run.Stderr = &stderr
	out, err := run.Output()
	if strings.Contains(stderr.String(), "no log files in") {
		return nil, nil // a node without brokers
	}
	fmt.Fprintf(s.log, "chaos: log verify:\n%s%s\n", out, stderr.Bytes())
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || len(out) == 0) {
		return nil, fmt.Errorf("log verify: %w: %s", err, stderr.Bytes())
	}
	return checkFiles(out), nil
}

// inUse matches what ottla log verify prints for a damaged file that the broker
// still uses. Files of replaced replicas stay as damaged as they were.
var inUse = regexp.MustCompile(`/broker-[0-9]+/([a-z_-]+-[0-9]+/)?[^/]+: damaged at byte `)

// checkFiles checks the output of ottla log verify: when every copy was scrubbed,
// no damage may be left.
func checkFiles(verified []byte) (out []violation) {
	for line := range bytes.Lines(verified) {
		if inUse.Match(line) {
			out = append(out, violation{"damaged", string(bytes.TrimSpace(line))})
		}
	}
	return out
}
