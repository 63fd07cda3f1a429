package logfile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

func TestParseLine(t *testing.T) {
	const head = "2026-11-22 17:16:03.123 liked 4 42 "
	rows := map[string]struct{ rest, key, value, action, headers string }{
		"compact JSON":           {`"user-42" {"post":7} PRODUCE`, `"user-42"`, `{"post":7}`, "PRODUCE", ""},
		"spaces inside strings":  {`"a b" {"c d":" e "} PRODUCE`, `"a b"`, `{"c d":" e "}`, "PRODUCE", ""},
		"escaped quotes":         {`"a\" b" {"c":"\\"} PRODUCE`, `"a\" b"`, `{"c":"\\"}`, "PRODUCE", ""},
		"text":                   {`t"no json \n" t"" PRODUCE`, `t"no json \n"`, `t""`, "PRODUCE", ""},
		"bytes":                  {`b"AAE=" b"" PRODUCE`, `b"AAE="`, `b""`, "PRODUCE", ""},
		"null key and tombstone": {`- - TOMBSTONE`, "-", "-", "TOMBSTONE", ""},
		"numbers":                {`-1 12345678901234567890.10 PRODUCE`, "-1", "12345678901234567890.10", "PRODUCE", ""},
		"headers":                {`- 1 PRODUCE {"trace":"a b"}`, "-", "1", "PRODUCE", `{"trace":"a b"}`},
		"internal action":        {`["o","g"] 1 COMMIT`, `["o","g"]`, "1", "COMMIT", ""},
		"a word after a string":  {`- "a PRODUCE" PRODUCE`, "-", `"a PRODUCE"`, "PRODUCE", ""},
		"headers like a value":   {`- {"a":1} PRODUCE {"b":"} PRODUCE"}`, "-", `{"a":1}`, "PRODUCE", `{"b":"} PRODUCE"}`},
		"an escaped end":         {`- "\\\"" PRODUCE`, "-", `"\\\""`, "PRODUCE", ""},
		"a list":                 {`- ["x ] y"] PRODUCE`, "-", `["x ] y"]`, "PRODUCE", ""},
		"one letter":             {`- "t" T`, "-", `"t"`, "T", ""},
		"forged frame in value":  {`- t"\n#f 1 2" PRODUCE`, "-", `t"\n#f 1 2"`, "PRODUCE", ""},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			l, err := logfile.ParseLine([]byte(head + r.rest))
			require.NoError(t, err)
			assert.Equal(t, "liked", string(l.Topic))
			assert.Equal(t, 4, l.Partition)
			assert.Equal(t, int64(42), l.Offset)
			assert.Equal(t, int64(1795367763123), l.Timestamp)
			assert.Equal(t, []string{r.key, r.value, r.action, r.headers},
				[]string{string(l.Key), string(l.Value), string(l.Action), string(l.Headers)})
		})
	}
}

func TestParseLineRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"empty":            "",
		"only a timestamp": "2026-11-22 17:16:03.123",
		"no such day":      "2026-02-30 17:16:03.123 liked 0 0 - - PRODUCE",
		"no such hour":     "2026-02-20 24:16:03.123 liked 0 0 - - PRODUCE",
		"letters in date":  "2026-0x-20 20:16:03.123 liked 0 0 - - PRODUCE",
		"negative offset":  "2026-02-20 20:16:03.123 liked 0 -1 - - PRODUCE",
		"huge offset":      "2026-02-20 20:16:03.123 liked 0 9223372036854775808 - - PRODUCE",
		"leading zero":     "2026-02-20 20:16:03.123 liked 0 01 - - PRODUCE",
		"no action":        "2026-02-20 20:16:03.123 liked 0 1 - -",
		"open string":      `2026-02-20 20:16:03.123 liked 0 1 - "a PRODUCE`,
		"open text":        `2026-02-20 20:16:03.123 liked 0 1 - t"a PRODUCE`,
		"escaped end":      `2026-02-20 20:16:03.123 liked 0 1 - "a\" PRODUCE`,
		"only a quote":     `2026-02-20 20:16:03.123 liked 0 1 - " PRODUCE`,
		"no key":           `2026-02-20 20:16:03.123 liked 0 1  "a" PRODUCE`,
		"two spaces":       "2026-02-20 20:16:03.123 liked 0 1 -  - PRODUCE",
		"ten tokens":       "2026-02-20 20:16:03.123 liked 0 1 - - PRODUCE {} x",
		"trailing space":   "2026-02-20 20:16:03.123 liked 0 1 - - PRODUCE ",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := logfile.ParseLine([]byte(line))
			assert.Error(t, err)
		})
	}
}

// TestGoldenBytes holds the format still; a change here needs a new version.
func TestGoldenBytes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "liked-0")
	cp := logfile.Checkpoint{HardTerm: 1, Vote: 2, ConfState: []byte("conf"), Producers: []byte("p")}
	l, err := logfile.Create(logfile.OSFS{}, dir, identity, cp, options("boot-1"))
	require.NoError(t, err)
	defer l.Close()
	body := "#p 1 producer 7\n" + recordLine(0, 1795367763123, `{"post":7}`) + recordLine(1, 1795367763124, `t"x y"`)
	put(t, l, empty(1, 1, 0), frame(2, 1, logfile.KindRecords, 0, 2, body))
	var b logfile.Batch
	require.NoError(t, l.Append(&b, []logfile.Frame{frame(3, 1, logfile.KindConfChange, 2, 0, string(logfile.OpaqueBody([]byte("change"))))}))
	l.SetHardState(&b, 2, 3)
	run(t, &b)
	l.Synced(3)
	b = logfile.Batch{}
	l.StageCheckpoint(&b)
	require.True(t, l.StageSyncMark(&b))
	run(t, &b)

	path := filepath.Join(dir, "00000000000000000000.log")
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	golden := filepath.Join("testdata", "golden.log")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))

	// Dropping every line that starts with "#" leaves exactly the records.
	out, err := exec.Command("grep", "-v", "^#", path).Output()
	require.NoError(t, err)
	assert.Equal(t, strings.TrimPrefix(body, "#p 1 producer 7\n"), string(out))

	f, err := l.ReadFrames(2, 3, 1)
	require.NoError(t, err)
	assert.Equal(t, [][]byte{[]byte("1 producer 7")}, logfile.ProducerLines(f[0]))
	recs, err := logfile.ParseRecords(f[0])
	require.NoError(t, err)
	require.Len(t, recs, 2)
	assert.Equal(t, `t"x y"`, string(recs[1].Value))
}

func TestOpaque(t *testing.T) {
	for _, data := range []string{"", "x", "\x00\n#f"} {
		got, err := logfile.OpaqueData(logfile.OpaqueBody([]byte(data)))
		require.NoError(t, err)
		assert.Equal(t, data, string(got))
	}
	for _, bad := range []string{"", "#e", "#e !\n", "#e AA==", "AA==\n"} {
		_, err := logfile.OpaqueData([]byte(bad))
		assert.Error(t, err, "%q", bad)
	}
}

// TestRealDisk runs the life of a log on the operating system's filesystem.
func TestRealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "liked-0")
	opt := smallSegments()
	l, err := logfile.Create(logfile.OSFS{}, dir, identity, logfile.Checkpoint{}, opt)
	require.NoError(t, err)
	for range 20 {
		put(t, l, next(l, 2, "1"))
	}
	fd, ok := activeFd(t, l)
	assert.True(t, ok)
	assert.NotZero(t, fd)
	put(t, l, records(10, 2, 18, 1, `"new"`))
	want := all(t, l)
	require.NoError(t, l.Close())
	l, rec, err := logfile.Open(logfile.OSFS{}, dir, opt)
	require.NoError(t, err)
	defer l.Close()
	assert.Equal(t, uint64(10), rec.LastIndex)
	assert.Equal(t, want, all(t, l))
	require.NoError(t, logfile.Verify(logfile.OSFS{}, filepath.Dir(dir), func(path string, at int64, err error) {
		t.Errorf("%s at %d: %v", path, at, err)
	}))
}

func activeFd(t *testing.T, l *logfile.Log) (uintptr, bool) {
	var b logfile.Batch
	require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 1, "1")}))
	run(t, &b)
	l.Synced(l.LastIndex())
	return b.Files()[0].Fd()
}
