package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// request asks the API of a live server.
func (s *standIn) request(t *testing.T, method, path, body string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// solo is a live server with a cluster of one broker and a topic t of two partitions, with
// ten records in each: p0-0 to p0-9, and p1-0 to p1-9 with times from 1,000 s on.
func solo(t *testing.T, env map[string]string) *standIn {
	t.Helper()
	s, _ := liveServerWith(t, t.TempDir(), env)
	s.must(t, "", "cluster", "create", "solo", "--num-brokers", "1")
	s.must(t, "", "topic", "create", "t", "--cluster", "solo", "--partitions", "2", "--retention-ms", "-1")
	var lines strings.Builder
	for p := range 2 {
		for i := range 10 {
			fmt.Fprintf(&lines, `{"key":null,"value":"p%d-%d","timestamp":%d}`+"\n", p, i, 1_000_000+1000*i)
		}
		s.must(t, lines.String(), "produce", "t", "--records", "--partition", fmt.Sprint(p))
		lines.Reset()
	}
	return s
}

// Partitions are read by offset, from where the flags say, as far as they say.
func TestReadingByOffset(t *testing.T) {
	s := solo(t, nil)
	for flags, want := range map[string]string{
		"--partition 1":                           "p1-0 p1-1 p1-2 p1-3 p1-4 p1-5 p1-6 p1-7 p1-8 p1-9",
		"--partition 0 --offset 8":                "p0-8 p0-9",
		"--partition 0 --offset 10":               "",
		"--offset 9":                              "p0-9 p1-9",
		"--tail 1":                                "p0-9 p1-9",
		"--tail 2 --partition 1":                  "p1-8 p1-9",
		"--tail 99 --partition 1 --max-records 3": "p1-0 p1-1 p1-2",
		"--offset 0 --max-records 12":             "p0-0 p0-1 p0-2 p0-3 p0-4 p0-5 p0-6 p0-7 p0-8 p0-9 p1-0 p1-1",
	} {
		got := s.must(t, "", append([]string{"consume", "t", "--values"}, strings.Fields(flags)...)...)
		assert.Equal(t, want, strings.Join(strings.Fields(got), " "), flags)
	}
	for flags, want := range map[string]string{
		"--partition 2":                    "partition",
		"--partition 0 --group g":          "they exclude --group",
		"--offset 1 --tail 1":              "--offset excludes --tail",
		"--partition 0 --create":           "they exclude --group, --from and --create",
		"--partition 0 --from latest":      "they exclude --group, --from and --create",
		"--partition 0 --max-records -1":   "--max-records -1 must not be negative",
		"--partition 0 --wait 31s":         "--wait 31s must be from 1ms to 30s",
		"--partition 0 --wait 0s":          "--wait 0s must be from 1ms to 30s",
		"--from tomorrow":                  `--from "tomorrow" must be earliest, latest, milliseconds since 1970, a time`,
		"--partition 0 --keys --format %k": "--format excludes --keys and --values",
		"--cluster other --partition 0":    "cluster_not_found",
	} {
		code, stdout, stderr := s.ottla(t, "", append([]string{"consume", "t"}, strings.Fields(flags)...)...)
		assert.NotEqual(t, exitOK, code, flags)
		assert.Empty(t, stdout, flags)
		assert.Contains(t, stderr, want, flags)
	}
	assert.Equal(t, "t 1 3 null 1003000 {}\n", s.must(t, "", "consume", "t", "--partition", "1", "--offset", "3", "--max-records", "1", "--format", `%t %p %o %k %T %h\n`))
}

// With --follow it goes on with what comes, in all partitions, until it is interrupted.
func TestFollowingByOffset(t *testing.T) {
	s := solo(t, nil)
	out := &output{lines: make(chan string, 1)}
	signals := make(chan os.Signal, 2)
	reader := (&standIn{url: s.url, stdout: out}).with(signals)
	ended := make(chan int, 1)
	go func() {
		code, _, _ := reader.ottla(t, "", "consume", "t", "--values", "--tail", "1", "--follow")
		ended <- code
	}()
	assert.Contains(t, []string{"p0-9", "p1-9"}, <-out.lines)
	s.must(t, "new\n", "produce", "t", "--partition", "1")
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "new\n") }, time.Minute, 5*time.Millisecond)
	signals <- syscall.SIGTERM
	assert.Equal(t, exitOK, <-ended, "that is its usual end")
	assert.ElementsMatch(t, []string{"p0-9", "p1-9", "new"}, strings.Fields(out.String()))
}

// Where a group would be moved to is what it is moved to, and a dry run moves nothing.
func TestSeeksAsTheyWouldBe(t *testing.T) {
	s := solo(t, nil)
	s.must(t, "", "topic", "create", "u", "--cluster", "solo", "--partitions", "1")
	s.must(t, "1\n2\n", "produce", "u")
	s.must(t, "", "consume", "t", "u", "--group", "g")
	at := func() string { return s.must(t, "", "offset", "list", "--group", "g") }
	for to, want := range map[string][2]string{
		"earliest": {"0", "0"}, "latest": {"10", "10"}, "7": {"7", "7"}, "1970-01-01T00:16:44.5Z": {"5", "5"}, "1970-01-01T00:00:00Z": {"0", "0"}, "now": {"10", "10"},
	} {
		before := at()
		dry := s.must(t, "", "group", "seek", "g", "--topic", "t", "--to", to, "--dry-run")
		assert.Equal(t, before, at(), "nothing has moved")
		done := s.must(t, "", "group", "seek", "g", "--topic", "t", "--to", to)
		assert.Equal(t, dry, done, "%s: where it would be is where it is", to)
		for p, offset := range want {
			assert.Regexp(t, fmt.Sprintf(`(?m)^t +%d +\d+ +%s$`, p, offset), done, to)
		}
	}
	one := s.must(t, "", "group", "seek", "g", "--topic", "t", "--partition", "1", "--to", "3", "--dry-run")
	assert.Equal(t, 2, strings.Count(one, "\n"), "the other partition stays: %s", one)
	all := s.must(t, "", "group", "seek", "g", "--all-topics", "--to", "earliest", "--dry-run")
	assert.Regexp(t, `(?m)^u +0 +2 +0$`, all)
	assert.Equal(t, 4, strings.Count(all, "\n"))
	asJSON := s.must(t, "", "group", "seek", "g", "--all-topics", "--to", "earliest", "--dry-run", "--output", "json")
	assert.Contains(t, asJSON, `"moved": false`)
	assert.Contains(t, s.must(t, "", "group", "seek", "g", "--all-topics", "--to", "earliest", "--output", "json"), `"moved": true`)
	for line, want := range map[string]string{
		"group seek g --topic t --partition 2 --to 0 --dry-run": `topic "t" has no partition 2`,
		"group seek g --topic no --to 0 --dry-run":              "topic_not_found",
		"group seek no --all-topics --to 0":                     "group_not_found",
		"group seek g --topic t --to soon":                      `"soon"`,
	} {
		code, stdout, stderr := s.ottla(t, "", words(line)...)
		assert.NotEqual(t, exitOK, code, line)
		assert.Empty(t, stdout, line)
		assert.Contains(t, stderr, want, line)
	}
}

// What `ottla consume` prints `ottla produce --records` writes again: keys, values, headers
// and times of every form, those that only Kafka clients send included.
func TestRecordsAreWrittenAgain(t *testing.T) {
	s, _ := liveServer(t, t.TempDir())
	s.must(t, "", "cluster", "create", "solo", "--num-brokers", "1")
	for _, topic := range []string{"from", "to"} {
		s.must(t, "", "topic", "create", topic, "--cluster", "solo", "--partitions", "1")
	}
	for _, record := range []string{
		`"key":"k","value":{"a":1.50},"headers":{"h":"x","ü":""},"timestamp":1000`, `"key_text":"null","value_text":"{"`, `"key_base64":"//8=","value_base64":"AA=="`, `"key":null,"value":"x"`,
		`"key":"gone","value":null`, `"key":7,"value":[]`, `"value":1,"headers":[["a","x"],["a",null],["b",{"b64":"//8="}],["a","x"]]`,
	} {
		require.Equal(t, http.StatusOK, s.request(t, "POST", "/events", `{"topic":"from",`+record+`}`), record)
	}
	read := func(topic string) string {
		return strings.ReplaceAll(s.must(t, "", "consume", topic, "--partition", "0"), `"topic":"to"`, `"topic":"from"`)
	}
	lines := read("from")
	require.Equal(t, 7, strings.Count(lines, "\n"))
	assert.Equal(t, "7 records committed to to\n", s.must(t, lines, "produce", "to", "--records"))
	assert.Equal(t, lines, read("to"))
	for line, want := range map[string]string{
		`7`: "not a record as 'ottla consume' prints it", `{}`: "it has neither key nor value", `{"topic":"t"}`: "it has neither key nor value",
		`{"value_base64":"!"}`: "value_base64: ", `{"key_base64":"!","value":1}`: "key_base64: ", `{"value":1,"headers":7}`: "headers", `{"value":1,"headers":{"a":1}}`: "headers", `{"value":1`: "not a record",
	} {
		code, _, stderr := s.ottla(t, line+"\n", "produce", "to", "--records")
		assert.Equal(t, exitFailed, code, line)
		assert.Contains(t, stderr, "line 1: ", line)
		assert.Contains(t, stderr, want, line)
	}
	for _, flags := range []string{"--records --key a", "--records --key-field a", "--key a --key-field b", "--skip -1", "--key \xff"} {
		code, _, stderr := s.ottla(t, "1\n", append([]string{"produce", "to"}, strings.Fields(flags)...)...)
		assert.Equal(t, exitUsage, code, "%s: %s", flags, stderr)
	}
	assert.Equal(t, lines, read("to"), "nothing of that was written")
	assert.Equal(t, "1 record committed to to\n", s.must(t, "1\n2\n3\n", "produce", "to", "--skip", "2"))
}

// Dead letters go back as they were, with headers of every form, once; those of others, and
// what died meanwhile, stay.
func TestRedrive(t *testing.T) {
	s, _ := liveServer(t, t.TempDir())
	s.must(t, "", "cluster", "create", "solo", "--num-brokers", "1")
	s.must(t, "", "topic", "create", "mails", "--cluster", "solo", "--partitions", "2")
	assert.Contains(t, s.must(t, "", "queue", "create", "q", "--topic", "mails", "--max-deliveries", "3"), "MAX DELIVERIES  3\n")
	assert.Equal(t, "0 dead letters of queue q put back\n", s.must(t, "", "queue", "redrive", "q"), "there is no topic of dead letters yet")
	for i := range 5 {
		require.Equal(t, http.StatusOK, s.request(t, "POST", "/events", fmt.Sprintf(`{"topic":"mails","partition":1,"key":"k%d","value":%d,"headers":[["a","x"],["a",{"b64":"//8="}],["n",null]]}`, i%2, i)))
	}
	dead := s.letDie(t, "q", 5)
	require.Equal(t, 5, dead)
	assert.Equal(t, "2 dead letters of queue q put back\n", s.must(t, "", "queue", "redrive", "q", "--max-records", "2"))
	assert.Equal(t, "3 dead letters of queue q put back\n", s.must(t, "", "queue", "redrive", "q"))
	assert.Equal(t, "0 dead letters of queue q put back\n", s.must(t, "", "queue", "redrive", "q"))
	out := s.must(t, "", "consume", "mails", "--partition", "1", "--format", `%k %v %h\n`)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 10)
	assert.ElementsMatch(t, lines[:5], lines[5:], "each once, as it was")
	assert.Contains(t, lines[9], `[["a","x"],["a",{"b64":"//8="}],["n",null]]`)

	s.must(t, "", "consume", "mails", "--group", "plain")
	for name, want := range map[string]string{"plain": "group plain is no queue", "nobody": "group_not_found"} {
		code, stdout, stderr := s.ottla(t, "", "queue", "redrive", name)
		assert.Equal(t, exitFailed, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, want)
	}
}

// letDie has a worker of a queue of the topic mails give n records back as dead, and waits
// until they are.
func (s *standIn) letDie(t *testing.T, queue string, n int) (died int) {
	t.Helper()
	receipt := regexp.MustCompile(`"receipt":"([^"]+)"`)
	require.Eventually(t, func() bool {
		text := s.body(t, "/events?topic=mails&timeout_ms=1000&group="+queue)
		for _, m := range receipt.FindAllStringSubmatch(text, -1) {
			require.Equal(t, http.StatusOK, s.request(t, "POST", "/events/nack", `{"receipts":["`+m[1]+`"],"dead":true,"reason":"no"}`))
			died++
		}
		return died >= n
	}, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool {
		return strings.Count(s.must(t, "", "consume", "mails.dead", "--offset", "0", "--values"), "\n") == n
	}, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool { // a dead letter is written before its queue has noted it
		return regexp.MustCompile(fmt.Sprintf(`(?m)^solo +%s +mails +0 +0 +0 +%d$`, queue, n)).MatchString(s.must(t, "", "queue", "list"))
	}, time.Minute, 10*time.Millisecond)
	return died
}

// body is what a live server answers to a GET.
func (s *standIn) body(t *testing.T, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return string(text)
}
