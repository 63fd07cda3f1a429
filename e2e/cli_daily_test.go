package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A topic is copied by what consume prints, keys, headers, times and all kinds of
// values included.
func TestCopyATopicWithTheCommandLine(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("from", 1)
	s.topic("to", 1)
	for _, fields := range []string{
		`"key":"a","value":{"n":12.50}`, `"key_text":"b","value_text":"x y"`, `"key":{"k":1},"value_base64":"//79"`,
		`"key":"gone"`, `"value":123456789012345678901234567890,"headers":{"h":"1"}`, `"value":"\u2028","timestamp":1000`,
	} {
		s.post("/events", `{"topic":"from",`+fields+`}`).want(http.StatusOK)
	}
	out := s.must("", "consume", "from")
	s.must(out, "produce", "to", "--records")
	copied := s.must("", "consume", "to")
	assert.Equal(t, strings.ReplaceAll(out, `"topic":"from"`, `"topic":"to"`), copied)

	s.must(out, "produce", "to", "--records", "--skip", "4")
	assert.Len(t, strings.Split(strings.TrimSpace(s.must("", "consume", "to")), "\n"), 8)
	code, _, stderr := s.ottla("{\"value\":1}\n[]\n", "produce", "to", "--records")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "line 2: not a record as 'ottla consume' prints it")
}

func TestConsumeFormats(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("f", 2)
	s.topic("g", 1)
	file := filepath.Join(t.TempDir(), "lines")
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "line %d é\n", i)
	}
	require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o600))
	s.must("", "produce", "g", file)
	out := s.must("", "consume", "g", "--values")
	assert.Equal(t, sha256.Sum256([]byte(lines.String())), sha256.Sum256([]byte(out)), "what went in comes out")

	for i := range 6 {
		s.produce("f", object{"key": fmt.Sprint("k", i), "value": i, "partition": i % 2})
	}
	assert.Equal(t, "k1\t1\nk3\t3\nk5\t5\n", s.must("", "consume", "f", "--partition", "1", "--keys", "--values"))
	assert.Equal(t, "1 1 3\n1 2 5\n", s.must("", "consume", "f", "--partition", "1", "--offset", "1", "--format", `%p %o %v\n`))
	assert.Equal(t, "4\n5\n", s.must("", "consume", "f", "--tail", "1", "--values"))
	assert.Equal(t, "0\n2\n", s.must("", "consume", "f", "--partition", "0", "--values", "--max-records", "2"))
	assert.Equal(t, 3006, strings.Count(s.must("", "consume", "f", "g"), "\n"), "two topics")
	code, _, stderr := s.ottla("", "consume", "f", "--partition", "7")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "no partition 7")
	s.run("no group is left", func(t *testing.T) { assert.JSONEq(t, `{"groups":[]}`, string(s.get("/groups").body)) })

	s.must("", "topic", "create", "kept", "--retention-ms", "1d", "--segment-bytes", "1MiB")
	topic := s.get("/topic/kept").object()
	assert.Equal(t, "86400000 1048576", fmt.Sprint(topic["retention_ms"], " ", topic["segment_bytes"]))
	assert.Empty(t, s.must("", "consume", "f", "--from", "now"))
	assert.Equal(t, 6, strings.Count(s.must("", "consume", "f", "--from", "-1h"), "\n"))
}

// A reader of the output that has enough ends the command at once, although there is
// more to print.
func TestConsumeEndsWithItsReader(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("p", 1)
	var lines strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&lines, "%0100d\n", i)
	}
	s.must(lines.String(), "produce", "p")
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "consume", "p", "--server", s.base, "--follow")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr safeBuffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	require.True(t, bufio.NewScanner(out).Scan())
	require.NoError(t, out.Close())
	began := time.Now()
	require.NoError(t, cmd.Wait(), stderr.tail(1000))
	assert.Empty(t, stderr.tail(1000))
	assert.Less(t, time.Since(began), 30*time.Second)
	assert.JSONEq(t, `{"groups":[]}`, string(s.get("/groups").body))
}

// numbered writes a file of n numbered lines.
func numbered(t *testing.T, n int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lines")
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "{\"n\":%d,\"user\":\"u%d\"}\n", i, i%97)
	}
	require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o600))
	return file
}

// numbersOf are the numbers in a topic, by partition and in order.
func (s *server) numbersOf(topic string, partitions int) (all [][]int) {
	s.t.Helper()
	for p := range partitions {
		var numbers []int
		for line := range strings.Lines(s.must("", "consume", topic, "--partition", strconv.Itoa(p), "--values")) {
			var v struct{ N int }
			require.NoError(s.t, json.Unmarshal([]byte(line), &v))
			numbers = append(numbers, v.N)
		}
		all = append(all, numbers)
	}
	return all
}

// A file goes to several partitions at the same time: each line once, in order within
// each partition, keys where the server puts them.
func TestProduceAFileToSeveralPartitions(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("plain", 5)
	s.topic("keyed", 5)
	const n = 60_000
	file := numbered(t, n)
	s.must("", "produce", "plain", file)
	s.must("", "produce", "keyed", file, "--key-field", "user")
	for _, topic := range []string{"plain", "keyed"} {
		count := 0
		for p, numbers := range s.numbersOf(topic, 5) {
			assert.True(t, slices.IsSorted(numbers), "partition %d of %s", p, topic)
			count += len(numbers)
		}
		assert.Equal(t, n, count)
	}
	placed := s.produce("keyed", object{"key": "u5", "value": object{"n": n}})
	assert.Contains(t, s.numbersOf("keyed", 5)[placed.Partition], 5)

	// The first line that is refused is named, and nothing behind it is written.
	lines, err := os.ReadFile(file)
	require.NoError(t, err)
	bad := append(append(slices.Clone(lines), `{"n":`+strings.Repeat("7", 2000)+"}\n"...), lines...)
	require.NoError(t, os.WriteFile(file, bad, 0o600))
	s.topic("refused", 5)
	code, _, stderr := s.ottla("", "produce", "refused", file)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, fmt.Sprintf("line %d: ", n+1))
	assert.Contains(t, stderr, fmt.Sprintf("; %d records committed before", n))
	count := 0
	for _, numbers := range s.numbersOf("refused", 5) {
		count += len(numbers)
	}
	assert.Equal(t, n, count)
}

// Who interrupts the command is told where to go on, and then nothing is missing and
// nothing there twice.
func TestProduceGoesOnAfterAnInterrupt(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("lines", 4)
	const n = 400_000
	file := numbered(t, n)
	skip, interrupts := "0", 0
	maybe := map[int]bool{} // lines that a slow server had not answered when the command ended
	for try := range 20 {
		cmd := exec.Command(binary, "produce", "lines", file, "--server", s.base, "--skip", skip)
		var stderr safeBuffer
		cmd.Stderr = &stderr
		require.NoError(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(100+50*try)*time.Millisecond, func() { _ = cmd.Process.Signal(os.Interrupt) })
		if try == 19 { // a slow machine has not come to the end
			timer.Stop()
		}
		err := cmd.Wait()
		timer.Stop()
		if err == nil {
			break
		}
		interrupts++
		m := regexp.MustCompile(`^ottla: interrupted after \d+ lines?, which are committed; --skip (\d+) goes on\n$`).FindStringSubmatch(stderr.tail(1000))
		if doubt := regexp.MustCompile(`those up to (\d+) may be; --skip (\d+) goes on, and may write some again\n$`).FindStringSubmatch(stderr.tail(1000)); doubt != nil {
			to, err := strconv.Atoi(doubt[1])
			require.NoError(t, err)
			from, err := strconv.Atoi(doubt[2])
			require.NoError(t, err)
			for line := from; line < to; line++ {
				maybe[line] = true
			}
			// Lines are read far ahead, but of those in doubt only batches may be there that were
			// in flight, 5000 lines in each of four lanes, or by which a lane was ahead of others.
			ahead := 0
			for _, numbers := range s.numbersOf("lines", 4) {
				for _, i := range numbers {
					if i >= from {
						ahead++
					}
				}
			}
			assert.LessOrEqual(t, ahead, 3*4*5000, "more than may be in doubt is there from line %d on", from)
			m = doubt[1:]
		}
		if m == nil {
			require.Contains(t, []string{"", "ottla: interrupted\n"}, stderr.tail(1000), "before it began, or before the first line")
			continue
		}
		skip = m[1]
	}
	assert.Positive(t, interrupts)
	seen := make([]bool, n)
	for _, numbers := range s.numbersOf("lines", 4) {
		assert.True(t, len(maybe) > 0 || slices.IsSorted(numbers))
		for _, i := range numbers {
			require.True(t, !seen[i] || maybe[i], "%d is there twice", i)
			seen[i] = true
		}
	}
	assert.Equal(t, -1, slices.Index(seen, false), "the first that is missing")
}

// A group is moved in all its topics, to a time, and a dry run says where to without
// moving anything; describe has the lag of each partition.
func TestGroupsFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("a", 2)
	s.topic("b", 1)
	for i := range 6 {
		s.post("/events", object{"topic": "a", "partition": i % 2, "value": i}).want(200)
		s.post("/events", object{"topic": "b", "value": i}).want(200)
	}
	assert.Len(t, strings.Split(strings.TrimSpace(s.must("", "consume", "a", "b", "--group", "g")), "\n"), 12)
	const end = "TOPIC  PARTITION  FROM  TO\na      0          3     %d\na      1          3     %d\nb      0          6     %d\n"
	assert.Equal(t, fmt.Sprintf(end, 0, 0, 0), s.must("", "group", "seek", "g", "--all-topics", "--to", "yesterday", "--dry-run"))
	assert.Equal(t, fmt.Sprintf(end, 0, 0, 0), s.must("", "group", "seek", "g", "--all-topics", "--to=-1h", "--dry-run"))
	assert.Equal(t, fmt.Sprintf(end, 3, 3, 6), s.must("", "group", "seek", "g", "--all-topics", "--to", "now", "--dry-run"))
	assert.Equal(t, fmt.Sprintf(end, 2, 2, 2), s.must("", "group", "seek", "g", "--all-topics", "--to", "2", "--dry-run"))
	assert.Equal(t, int64(3), s.committed("g", "a", 0), "nothing was moved")
	assert.Equal(t, fmt.Sprintf(end, 0, 0, 0), s.must("", "group", "seek", "g", "--all-topics", "--to", time.Now().Format(time.DateOnly)))
	assert.Equal(t, int64(0), s.committed("g", "a", 0))
	assert.Equal(t, "TOPIC  PARTITION  FROM  TO\na      1          0     3\n", s.must("", "group", "seek", "g", "--topic", "a", "--partition", "1", "--to", "latest"))
	described := s.must("", "group", "describe", "g")
	assert.Regexp(t, `(?m)^LAG +9$`, described)
	assert.Regexp(t, `(?m)^TOPIC +PARTITION +COMMITTED +POSITION +END +LAG +CONSUMER +METADATA$`, described)
	assert.Regexp(t, `(?m)^a +0 +0 +- +3 +3 +- +-$`, described)
	assert.Regexp(t, `(?m)^a +1 +3 +- +3 +0 +- +-$`, described)
	code, _, stderr := s.ottla("", "group", "seek", "none", "--all-topics", "--to", "latest")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "group_not_found")
}
