package logfile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

const dir = "/data/liked-0"

var identity = logfile.Identity{ClusterID: "c-1", TopicID: "t-1", Topic: "liked", Partition: 0, Broker: 1, ReplicaID: 7}

func options(boot string) logfile.Options {
	return logfile.Options{SegmentBytes: 1 << 20, IndexInterval: 256, BootID: boot}
}

// recordLine is one record as the log has it.
func recordLine(offset, ts int64, value string) string {
	return fmt.Sprintf("%s liked 0 %d \"user-%d\" %s PRODUCE\n",
		time.UnixMilli(ts).UTC().Format("2006-01-02 15:04:05.000"), offset, offset, value)
}

// records makes an entry of n records.
func records(index, term uint64, base int64, n int, value string) logfile.Frame {
	var body strings.Builder
	for i := range int64(n) {
		body.WriteString(recordLine(base+i, 1000*(base+i), value))
	}
	return frame(index, term, logfile.KindRecords, base, n, body.String())
}

func frame(index, term uint64, kind logfile.Kind, base int64, n int, body string) logfile.Frame {
	f := logfile.Frame{
		Index: index, Term: term, Kind: kind, BaseOffset: base, Count: n, AppendTime: int64(index) * 1000,
		BodySum: logfile.Checksum([]byte(body)),
	}
	if body != "" {
		f.Body = []byte(body)
	}
	return f
}

func empty(index, term uint64, base int64) logfile.Frame {
	return frame(index, term, logfile.KindEmpty, base, 0, "")
}

// run executes a batch and syncs what it says needs it.
func run(t testing.TB, b *logfile.Batch) {
	t.Helper()
	require.NoError(t, tryRun(b))
}

func tryRun(b *logfile.Batch) error {
	if err := b.Execute(); err != nil {
		return err
	}
	for _, f := range b.Files() {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// put appends frames durably and tells the log so.
func put(t testing.TB, l *logfile.Log, frames ...logfile.Frame) {
	t.Helper()
	var b logfile.Batch
	require.NoError(t, l.Append(&b, frames))
	run(t, &b)
	l.Synced(l.LastIndex())
}

// next makes an entry of n records that continues the log.
func next(l *logfile.Log, n int, value string) logfile.Frame {
	term, _ := l.Term(l.LastIndex())
	return records(l.LastIndex()+1, max(term, 1), l.NextOffset(), n, value)
}

func create(t testing.TB, d logfile.FS, opt logfile.Options) *logfile.Log {
	t.Helper()
	require.NoError(t, d.MkdirAll("/data", 0o755))
	require.NoError(t, d.SyncDir("/"))
	l, err := logfile.Create(d, dir, identity, logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, opt)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func open(t testing.TB, d logfile.FS, opt logfile.Options) (*logfile.Log, *logfile.Recovered) {
	t.Helper()
	l, rec, err := logfile.Open(d, dir, opt)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l, rec
}

// all reads every entry of a log.
func all(t testing.TB, l *logfile.Log) []logfile.Frame {
	t.Helper()
	if l.LastIndex() < l.FirstIndex() {
		return nil
	}
	var frames []logfile.Frame
	for lo := l.FirstIndex(); lo <= l.LastIndex(); {
		got, err := l.ReadFrames(lo, l.LastIndex()+1, 1<<20)
		require.NoError(t, err)
		require.NotEmpty(t, got)
		frames = append(frames, got...)
		lo += uint64(len(got))
	}
	return frames
}

// segments lists the names of the log's segments.
func segments(t testing.TB, d *faultfs.FS) []string {
	t.Helper()
	list, err := d.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".log") {
			names = append(names, dir+"/"+e.Name())
		}
	}
	return names
}

func hex(sum uint32) string { return fmt.Sprintf("%08x", sum) }

// stride is how many steps a simulation goes at once: one, and in short tests as many as
// it says. Those run under the race detector, which costs most of their time and finds
// nothing where a single goroutine works.
func stride(short int) int {
	if testing.Short() {
		return short
	}
	return 1
}

// smallLog is a log of 20 entries of one record each, in several segments.
func smallLog(t testing.TB) (*faultfs.FS, *logfile.Log) {
	t.Helper()
	d := faultfs.New()
	l := create(t, d, smallSegments())
	for range 20 {
		put(t, l, next(l, 1, "1"))
	}
	return d, l
}
