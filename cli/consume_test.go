package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func records(from, to int) string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf(`{"topic":"t","partition":0,"offset":%d,"key":null,"value":1.50}`, i))
	}
	return strings.Join(list, ",")
}

func pollAnswer(list, cursor string) string {
	return `{"consumer_id":7,"group":"g","generation":1,"records":[` + list + `],"cursor":"` + cursor + `","timed_out":` +
		strconv.FormatBool(list == "") + `}`
}

// parameter is a query parameter of a poll.
func parameter(t *testing.T, a asked, name string) string {
	t.Helper()
	target, ok := strings.CutPrefix(a.line, "GET ")
	require.True(t, ok, a.line)
	u, err := url.Parse(target)
	require.NoError(t, err)
	require.Equal(t, "/events", u.Path)
	return u.Query().Get(name)
}

func TestConsumeAcknowledgesWhatItPrinted(t *testing.T) {
	s := newStandIn(t, func(n int, _ asked) (int, string) {
		switch n {
		case 1:
			return 200, pollAnswer(records(0, 2), "c1")
		case 2:
			return 200, pollAnswer(records(2, 3), "c2")
		case 3:
			return 200, pollAnswer("", "c3")
		}
		return 204, ""
	})
	code, stdout, stderr := s.ottla(t, "", "consume", "t", "--group", "g", "--from", "2026-11-22T00:00:00Z")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, strings.ReplaceAll(records(0, 3), "},{", "}\n{")+"\n", stdout, "byte for byte")
	require.Len(t, s.asked, 4)
	for name, want := range map[string]string{
		"auto_commit": "false", "from": "1795305600000", "consumer_id": "", "ack": "", "group": "g", "topic": "t",
		"timeout_ms": "2000", "max_records": "500",
	} {
		assert.Equal(t, want, parameter(t, s.asked[0], name), name)
	}
	assert.Equal(t, "c1", parameter(t, s.asked[1], "ack"))
	assert.Equal(t, "7", parameter(t, s.asked[1], "consumer_id"))
	assert.Equal(t, "c2", parameter(t, s.asked[2], "ack"))
	assert.Equal(t, "DELETE /groups/g/members/7", s.asked[3].line)
}

func TestConsumeMaxRecords(t *testing.T) {
	s := newStandIn(t, func(n int, _ asked) (int, string) {
		switch n {
		case 1:
			return 200, pollAnswer(records(0, 2), "c1")
		case 2:
			return 200, pollAnswer("", "")
		}
		return 204, ""
	})
	code, stdout, _ := s.ottla(t, "", "consume", "t", "--max-records", "2", "--follow", "--group", "g")
	require.Equal(t, exitOK, code)
	assert.Equal(t, 2, strings.Count(stdout, "\n"))
	require.Len(t, s.asked, 3)
	assert.Equal(t, "2", parameter(t, s.asked[0], "max_records"))
	assert.Equal(t, "c1", parameter(t, s.asked[1], "ack"), "what was printed is acknowledged")
	assert.Equal(t, "0", parameter(t, s.asked[1], "timeout_ms"))
	assert.Equal(t, "DELETE /groups/g/members/7", s.asked[2].line)
}

// streamAnswer is what a stream without a group says of records.
func streamAnswer(from, to int) string {
	text := fmt.Sprintf(": stream\nid: c%d\n\n", from)
	for i := from; i < to; i++ {
		text += "data: " + records(i, i+1) + fmt.Sprintf("\nid: c%d\n\n", i+1)
	}
	return text
}

// Without a group nothing but streams is asked for, whatever happens: a stream that
// breaks off goes on behind its last record.
func TestConsumeWithoutGroupLeavesNothingBehind(t *testing.T) {
	s := newStandIn(t, func(n int, _ asked) (int, string) {
		switch n {
		case 1:
			return 200, streamAnswer(0, 2)
		case 2:
			return 503, errorAnswer("starting", "starting", "none", true)
		}
		return 200, streamAnswer(2, 9)
	})
	code, stdout, stderr := s.ottla(t, "", "consume", "t", "--from", "latest", "--max-records", "4")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, strings.ReplaceAll(records(0, 4), "},{", "}\n{")+"\n", stdout, "byte for byte")
	assert.Contains(t, stderr, "retrying: ")
	require.Len(t, s.asked, 3)
	assert.Equal(t, "GET /topic/t/stream?from=latest", s.asked[0].line)
	assert.Equal(t, "GET /topic/t/stream?after=c2&from=latest", s.asked[1].line)
	assert.Equal(t, s.asked[1].line, s.asked[2].line)
}

func TestConsumeWithoutGroupCreates(t *testing.T) {
	s := newStandIn(t, func(n int, _ asked) (int, string) {
		switch n {
		case 1:
			return 404, `{"error_code":40401,"code":"topic_not_found","message":"no","retriable":false,"outcome":"none","request_id":"r"}`
		case 2:
			return 201, `{"name":"t"}`
		}
		return 200, streamAnswer(0, 1)
	})
	code, stdout, stderr := s.ottla(t, "", "consume", "t", "--create", "--max-records", "1")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, records(0, 1)+"\n", stdout)
	assert.Equal(t, "POST /topic", s.asked[1].line)
	assert.JSONEq(t, `{"name":"t"}`, s.asked[1].body)
}

// A restarted server does not accept the old cursor. The offsets are committed
// instead, and nothing is printed twice or left out.
func TestConsumeFollowsOverARestart(t *testing.T) {
	signals := make(chan os.Signal, 2)
	s := newStandIn(t, nil)
	s.answer = func(n int, a asked) (int, string) {
		switch n {
		case 1:
			return 200, pollAnswer(records(0, 2), "old")
		case 2:
			return 503, `{"code":"starting","message":"starting","retriable":true}`
		case 3:
			return 409, `{"error_code":40905,"code":"stale_generation","message":"stale","outcome":"none"}`
		case 4:
			return 200, `{}`
		case 5:
			return 200, pollAnswer(records(2, 3), "new")
		case 6:
			signals <- syscall.SIGINT
		}
		if strings.HasPrefix(a.line, "GET") {
			return 200, pollAnswer("", "new2")
		}
		return 204, ""
	}
	var out, errs bytes.Buffer
	p := &process{
		stdout: &out, stderr: &errs, signals: signals,
		lookupEnv: func(name string) (string, bool) { return s.url, name == "OTTLA_SERVER" },
	}
	require.Equal(t, exitOK, run(p, []string{"consume", "t", "--group", "g", "--follow"}), errs.String())
	assert.Equal(t, strings.ReplaceAll(records(0, 3), "},{", "}\n{")+"\n", out.String())
	assert.Equal(t, "old", parameter(t, s.asked[1], "ack"))
	assert.Equal(t, "old", parameter(t, s.asked[2], "ack"))
	assert.Equal(t, "POST /offset", s.asked[3].line)
	assert.JSONEq(t, `{"consumer_id":7,"group":"g","offsets":[{"topic":"t","partition":0,"offset":2}]}`, s.asked[3].body)
	assert.Empty(t, parameter(t, s.asked[4], "ack"))
	assert.Contains(t, errs.String(), "retrying: starting")
	assert.Contains(t, errs.String(), "the server answers again")
}

func TestConsumeFailures(t *testing.T) {
	s := newStandIn(t, func(int, asked) (int, string) {
		return 416, `{"code":"offset_out_of_range","message":"below","retriable":false}`
	})
	code, _, stderr := s.ottla(t, "", "consume", "t", "--follow", "--group", "g")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "group seek")
	s = newStandIn(t, func(int, asked) (int, string) {
		return 404, errorAnswer("topic_not_found", "no such topic", "none", false)
	})
	code, _, stderr = s.ottla(t, "", "consume", "t", "--follow")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "topic list")
	s = newStandIn(t, func(int, asked) (int, string) { return 200, streamAnswer(0, 2) })
	s.stdout = &tornPaper{left: 10}
	code, _, stderr = s.ottla(t, "", "consume", "t", "--follow")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "ottla: print: no space left on device\n", stderr)
}

// tornPaper is a writer that fails after some bytes, like a full disk.
type tornPaper struct{ left int }

func (w *tornPaper) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

// Records that could not be printed are not acknowledged, so that they come again.
func TestConsumeDoesNotAcknowledgeWhatItCouldNotPrint(t *testing.T) {
	s := newStandIn(t, func(n int, a asked) (int, string) {
		switch {
		case strings.HasPrefix(a.line, "DELETE"):
			return 204, ""
		case n == 1:
			return 200, pollAnswer(records(0, 2), "c1")
		}
		return 200, pollAnswer(records(2, 4), "c2")
	})
	s.stdout = &tornPaper{left: len(records(0, 2)) + 10}
	code, _, stderr := s.ottla(t, "", "consume", "t", "--group", "g")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "ottla: print: no space left on device\n", stderr)
	require.Len(t, s.asked, 3)
	assert.Equal(t, "c1", parameter(t, s.asked[1], "ack"))
	assert.Equal(t, "DELETE /groups/g/members/7", s.asked[2].line, "c2 is not acknowledged")
}

func TestConsumeTellsWhenTheLastRecordsAreNotAcknowledged(t *testing.T) {
	s := newStandIn(t, func(n int, a asked) (int, string) {
		switch {
		case n == 1:
			return 200, pollAnswer(records(0, 1), "c1")
		case strings.HasPrefix(a.line, "GET"):
			return 422, errorAnswer("not_allowed", "no", "none", false)
		}
		return 204, ""
	})
	code, stdout, stderr := s.ottla(t, "", "consume", "t", "--group", "g", "--max-records", "1")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, records(0, 1)+"\n", stdout)
	assert.Equal(t, "ottla: the last records were printed but not acknowledged, they will come again: no (not_allowed, request r7)\n", stderr)
	assert.Equal(t, "DELETE /groups/g/members/7", s.asked[len(s.asked)-1].line, "it leaves all the same")
}

// An interrupt during a poll is no error: what was printed is acknowledged.
func TestConsumeInterrupted(t *testing.T) {
	signals := make(chan os.Signal, 2)
	hold := make(chan struct{})
	defer close(hold)
	s := newStandIn(t, func(n int, a asked) (int, string) {
		switch {
		case n == 1:
			return 200, pollAnswer(records(0, 2), "c1")
		case n == 2:
			signals <- syscall.SIGINT
			<-hold
		case strings.HasPrefix(a.line, "GET"):
			return 200, pollAnswer("", "c2")
		}
		return 204, ""
	})
	code, stdout, stderr := s.with(signals).ottla(t, "", "consume", "t", "--follow", "--group", "g")
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	assert.Equal(t, 2, strings.Count(stdout, "\n"))
	require.Len(t, s.asked, 4)
	assert.Equal(t, "c1", parameter(t, s.asked[2], "ack"))
	assert.Equal(t, "DELETE /groups/g/members/7", s.asked[3].line)
}

func TestConsumeWithoutGroupInterrupted(t *testing.T) {
	signals := make(chan os.Signal, 2)
	hold := make(chan struct{})
	defer close(hold)
	s := newStandIn(t, func(n int, _ asked) (int, string) {
		if n == 2 {
			signals <- syscall.SIGINT
			<-hold
		}
		return 200, streamAnswer(0, 2)
	})
	code, stdout, stderr := s.with(signals).ottla(t, "", "consume", "t", "--follow")
	assert.Equal(t, exitOK, code)
	assert.NotContains(t, stderr, "interrupted")
	assert.Equal(t, 2, strings.Count(stdout, "\n"))
	assert.Len(t, s.asked, 2)
}

// --max-records can end in the middle of the records, after several polls.
func TestConsumeAsksForNoMoreThanItMayPrint(t *testing.T) {
	s := newStandIn(t, nil)
	s.answer = func(n int, a asked) (int, string) {
		switch {
		case strings.HasPrefix(a.line, "DELETE"):
			return 204, ""
		case n <= 3:
			limit, err := strconv.Atoi(parameter(t, a, "max_records"))
			assert.NoError(t, err)
			return 200, pollAnswer(records(2*n-2, 2*n-2+min(limit, 2)), "c")
		}
		return 200, pollAnswer("", "")
	}
	code, stdout, _ := s.ottla(t, "", "consume", "t", "--group", "g", "--max-records", "5")
	require.Equal(t, exitOK, code)
	assert.Equal(t, 5, strings.Count(stdout, "\n"))
	var limits []string
	for _, a := range s.asked[:3] {
		limits = append(limits, parameter(t, a, "max_records"))
	}
	assert.Equal(t, []string{"5", "3", "1"}, limits)
}
