package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// fakeServer has one topic of one partition, with an offset as the value of each record.
type fakeServer struct {
	start, end int64
	policy     string
	gone       map[int64]bool // by compaction
	read       []int64        // from which offsets
	before     func()         // each read
}

func (f *fakeServer) DoWith(_ context.Context, method, path string, query url.Values, _ map[string]string, _ []byte) (json.RawMessage, error) {
	switch {
	case method != "GET":
		return nil, errors.New("a backup changes nothing")
	case path == "/cluster/c":
		return json.RawMessage(`{"name":"c","num_brokers":3}`), nil
	case path == "/topic":
		return json.RawMessage(`{"topics":[{"name":"t"},{"name":"half","restoring":"r"}]}`), nil
	case path == "/groups":
		return json.RawMessage(`{"groups":[{"group":"g"},{"group":"none"}]}`), nil
	case path == "/offset" && query.Get("group") == "g":
		return json.RawMessage(`{"offsets":[{"topic":"t","partition":0,"committed":7},{"topic":"t","partition":1,"committed":null}]}`), nil
	case path == "/offset":
		return json.RawMessage(`{"offsets":[]}`), nil
	case path == "/topic/t":
		return json.RawMessage(fmt.Sprintf(`{"id":"id","name":"t","cleanup_policy":%q,"partitions":[{"earliest":%d,"latest":%d}]}`, f.policy, f.start, f.end)), nil
	}
	if f.before != nil {
		f.before()
	}
	at, _ := strconv.ParseInt(query.Get("offset"), 10, 64)
	f.read = append(f.read, at)
	if at < f.start {
		return nil, &client.Error{Status: 416, Code: "offset_out_of_range"}
	}
	records, next := []string{}, at
	for ; next < min(at+10, f.end); next++ {
		if !f.gone[next] {
			records = append(records, fmt.Sprintf(`{"topic":"t","partition":0,"offset":%d,"timestamp":1,"key":null,"value":%d,"headers":{}}`, next, next))
		}
	}
	return json.RawMessage(fmt.Sprintf(`{"records":[%s],"next_offset":%d,"high_watermark":%d,"earliest":%d}`, strings.Join(records, ","), next, f.end, f.start)), nil
}

func makeOne(t *testing.T, f *fakeServer, dir string) *Manifest {
	t.Helper()
	m, err := Make(context.Background(), f, Options{Dir: dir, Cluster: "c", FileBytes: 500})
	require.NoError(t, err)
	require.NoError(t, m.Verify(dir))
	same, err := Read(dir, 0)
	require.NoError(t, err)
	require.Equal(t, m, same)
	return m
}

func offsetsOf(t *testing.T, m *Manifest, dir string) (all []int64) {
	t.Helper()
	p := &m.Topics[0].Partitions[0]
	require.NoError(t, p.each(dir, p.Start, func(l *line, _ []byte) error { all = append(all, l.Offset); return nil }))
	return all
}

func upTo(from, to int64) (all []int64) {
	for ; from < to; from++ {
		all = append(all, from)
	}
	return all
}

// A backup reads what is new, and takes over what an earlier one has, as far as the log
// still has it.
func TestBackupsAreIncremental(t *testing.T) {
	dir, f := t.TempDir(), &fakeServer{start: 3, end: 40, policy: "delete"}
	m := makeOne(t, f, dir)
	assert.Equal(t, upTo(3, 40), offsetsOf(t, m, dir))
	assert.Equal(t, []Group{{"g", []Offset{{Topic: "t", Offset: 7}}}}, m.Groups)
	f.start, f.end, f.read = 20, 55, nil
	m = makeOne(t, f, dir)
	assert.Equal(t, 2, m.Number)
	assert.Equal(t, upTo(20, 55), offsetsOf(t, m, dir))
	assert.EqualValues(t, 40, f.read[0])
	first, err := Read(dir, 1)
	require.NoError(t, err)
	assert.Equal(t, upTo(3, 40), offsetsOf(t, first, dir))
	_, err = Make(context.Background(), f, Options{Dir: dir, Cluster: "d", Patience: 1})
	require.Error(t, err)
}

// A compacted topic is read whole, and ends where its last record is.
func TestCompactedTopicsAreReadWhole(t *testing.T) {
	dir, f := t.TempDir(), &fakeServer{end: 30, policy: "compact"}
	makeOne(t, f, dir)
	f.gone, f.read = map[int64]bool{4: true, 5: true, 29: true}, nil
	m := makeOne(t, f, dir)
	assert.Zero(t, f.read[0])
	assert.EqualValues(t, 29, m.Topics[0].Partitions[0].End)
	assert.Equal(t, append(upTo(0, 4), upTo(6, 29)...), offsetsOf(t, m, dir))
	first, err := Read(dir, 1)
	require.NoError(t, err)
	require.NoError(t, first.Verify(dir))
	assert.Len(t, offsetsOf(t, first, dir), 30, "the backup before is as it was")
}

// Retention that is faster than the backup moves its start; nothing is missing behind it.
func TestRetentionIsFaster(t *testing.T) {
	dir, f := t.TempDir(), &fakeServer{end: 60, policy: "delete"}
	f.before = func() {
		if len(f.read) == 2 {
			f.start = 33
		}
	}
	m := makeOne(t, f, dir)
	assert.Equal(t, upTo(33, 60), offsetsOf(t, m, dir))
	assert.EqualValues(t, 33, m.Topics[0].Partitions[0].Start)
}

// What was read before an interruption is used; half a file, and a file that is not whole,
// are not. Until the manifest is there, there is no backup.
func TestInterruptedBackupGoesOn(t *testing.T) {
	dir, f := t.TempDir(), &fakeServer{end: 60, policy: "delete"}
	ctx, cancel := context.WithCancel(context.Background())
	f.before = func() {
		if len(f.read) == 3 {
			cancel()
			f.end = 25 // nothing more is read
		}
	}
	_, err := Make(ctx, f, Options{Dir: dir, Cluster: "c", FileBytes: 500, Patience: 1})
	require.Error(t, err)
	_, err = Read(dir, 0)
	require.ErrorIs(t, err, ErrNone)
	files, err := filepath.Glob(filepath.Join(dir, "id-0", "*.ndjson"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	f.before, f.end, f.read = nil, 60, nil
	m := makeOne(t, f, dir)
	assert.Equal(t, upTo(0, 60), offsetsOf(t, m, dir))
	assert.Positive(t, f.read[0])

	path := filepath.Join(dir, filepath.FromSlash(m.Topics[0].Partitions[0].Files[0].Path))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text[:len(text)-5], 0o600))
	require.ErrorContains(t, m.Verify(dir), "is damaged")
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, m.Verify(dir), os.ErrNotExist)
	manifest := filepath.Join(dir, nameOf(1))
	text, err = os.ReadFile(manifest)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(manifest, []byte(strings.Replace(string(text), `"end": 60`, `"end": 61`, 1)), 0o600))
	_, err = Read(dir, 0)
	require.ErrorContains(t, err, "does not match its checksum")
}
