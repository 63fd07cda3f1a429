package backup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Options say what is copied, and how.
type Options struct {
	Dir       string
	Cluster   string
	Topics    []string      // names; empty: all that are not Ottla's own
	FileBytes int64         // a file is ended when it is that large; 0: 64 MiB
	Patience  time.Duration // how long a request is tried again; 0: a minute
	Progress  Progress
	Now       func() time.Time
}

func (o *Options) defaults() {
	if o.FileBytes == 0 {
		o.FileBytes = 64 << 20
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// pageRecords is how many records are asked for at once.
const pageRecords = 5000

// maker makes one backup.
type maker struct {
	*session
	o      Options
	before *Manifest // the newest backup of the directory, nil if there is none
	m      *Manifest
}

// Make makes a backup, and returns it once it is complete on disk. Errors: those of the
// server and of the disk; what was read until then is used by the next backup.
func Make(ctx context.Context, s Server, o Options) (*Manifest, error) {
	o.defaults()
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, err
	}
	b := &maker{session: newSession(s, o.Patience, o.Progress), o: o, m: &Manifest{Format: format, Number: 1, Began: o.Now().UTC(), Topics: []Topic{}, Groups: []Group{}}}
	switch before, err := Read(o.Dir, 0); {
	case err == nil:
		b.before, b.m.Number = before, before.Number+1
	case !errors.Is(err, ErrNone):
		return nil, err
	}
	if err := b.get(ctx, "/cluster/"+url.PathEscape(o.Cluster), nil, &b.m.Cluster); err != nil {
		return nil, err
	}
	if b.before != nil && b.before.Cluster.Name != b.m.Cluster.Name {
		return nil, fmt.Errorf("%s has backups of cluster %q: name another directory for cluster %q", o.Dir, b.before.Cluster.Name, o.Cluster)
	}
	names, err := b.names(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.groups(ctx, names); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := b.topicWith(ctx, name); err != nil {
			return nil, fmt.Errorf("topic %s: %w", name, err)
		}
	}
	b.clamp()
	b.m.Ended = o.Now().UTC()
	return b.m, b.m.write(o.Dir)
}

// names are the topics to be copied, by name.
func (b *maker) names(ctx context.Context) ([]string, error) {
	if len(b.o.Topics) > 0 {
		names := slices.Clone(b.o.Topics)
		slices.Sort(names)
		return slices.Compact(names), nil
	}
	var reply struct {
		Topics []struct{ Name, Restoring string }
	}
	if err := b.get(ctx, "/topic", url.Values{"cluster": {b.o.Cluster}}, &reply); err != nil {
		return nil, err
	}
	names := []string{}
	for _, t := range reply.Topics {
		if t.Restoring == "" {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// groups notes what groups have committed of the topics.
func (b *maker) groups(ctx context.Context, topics []string) error {
	var reply struct {
		Groups []struct {
			Group string `json:"group"`
		}
	}
	if err := b.get(ctx, "/groups", url.Values{"cluster": {b.o.Cluster}}, &reply); err != nil {
		return err
	}
	for _, g := range reply.Groups {
		group := Group{Name: g.Group}
		var offsets struct {
			Offsets []struct {
				Topic     string
				Partition int
				Committed *int64
				Metadata  string
			}
		}
		err := b.get(ctx, "/offset", url.Values{"cluster": {b.o.Cluster}, "group": {g.Group}}, &offsets)
		if code(err) == "group_not_found" {
			continue // it has gone meanwhile
		}
		if err != nil {
			return err
		}
		for _, o := range offsets.Offsets {
			if o.Committed != nil && slices.Contains(topics, o.Topic) {
				group.Offsets = append(group.Offsets, Offset{o.Topic, o.Partition, *o.Committed, o.Metadata})
			}
		}
		if len(group.Offsets) > 0 {
			b.m.Groups = append(b.m.Groups, group)
		}
	}
	slices.SortFunc(b.m.Groups, func(x, y Group) int { return bytes.Compare([]byte(x.Name), []byte(y.Name)) })
	return nil
}

// topicWith copies a topic.
func (b *maker) topicWith(ctx context.Context, name string) error {
	info, err := b.topic(ctx, b.o.Cluster, name)
	if err != nil {
		return err
	}
	if info.Restoring != "" {
		return errors.New("it is being restored, and is not complete")
	}
	t := Topic{ID: info.ID, Name: name, Settings: info.Settings}
	for n, at := range info.Partitions {
		p := Partition{Start: *at.Earliest, End: *at.Latest, Files: []File{}}
		if err := b.partition(ctx, &t, n, &p); err != nil {
			return fmt.Errorf("partition %d: %w", n, err)
		}
		t.Partitions = append(t.Partitions, p)
	}
	b.m.Topics = append(b.m.Topics, t)
	return nil
}

// partition copies a partition, from where what is there already ends.
func (b *maker) partition(ctx context.Context, t *Topic, number int, p *Partition) error {
	dir := fmt.Sprintf("%s-%d", t.ID, number)
	if err := os.MkdirAll(filepath.Join(b.o.Dir, dir), 0o750); err != nil {
		return err
	}
	if err := syncDir(b.o.Dir); err != nil {
		return err
	}
	files, err := b.there(t, number, dir)
	if err != nil {
		return err
	}
	at := p.Start
	for _, f := range files {
		if f.Base <= at && f.Next > at && f.Next <= p.End {
			if f.Sum == "" {
				if f.scan(b.o.Dir, nil) != nil {
					break // it is read again
				}
			}
			p.Files, at = append(p.Files, f), f.Next
		}
	}
	for at < p.End {
		f, earliest, err := b.file(ctx, t.Name, number, dir, at, p.End)
		switch {
		case err != nil:
			return err
		case earliest > at: // retention was faster
			p.Files, p.Start, at = []File{}, earliest, earliest
			p.End = max(p.End, earliest)
			continue
		}
		p.Files, at = append(p.Files, *f), f.Next
		b.progress(t.Name, f.Records)
	}
	if t.Settings.CleanupPolicy == "compact" {
		p.End = p.Start
		for i := range p.Files { // compaction may have removed the last ones since
			if err := p.Files[i].scan(b.o.Dir, func(l *line, _ []byte) error { p.End = max(p.End, l.Offset+1); return nil }); err != nil {
				return err
			}
		}
	}
	return nil
}

var fileName = regexp.MustCompile(`^([0-9]{20})-([0-9]{20})\.ndjson$`)

// there are the files of a partition that can be used, by offset: those of the newest
// backup, unless the topic is compacted and may have changed, and those of one that was
// interrupted.
func (b *maker) there(t *Topic, number int, dir string) ([]File, error) {
	known := map[string]bool{}
	var files []File
	numbers, err := Numbers(b.o.Dir)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		m := b.before
		if n != m.Number {
			if m, err = Read(b.o.Dir, n); err != nil {
				return nil, err
			}
		}
		old := m.topic(t.ID)
		if old == nil || number >= len(old.Partitions) {
			continue
		}
		for _, f := range old.Partitions[number].Files {
			known[f.Path] = true
			if m == b.before && t.Settings.CleanupPolicy != "compact" {
				files = append(files, f)
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(b.o.Dir, dir))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		if m := fileName.FindStringSubmatch(e.Name()); m != nil && !known[path] {
			base, _ := strconv.ParseInt(m[1], 10, 64)
			next, _ := strconv.ParseInt(m[2], 10, 64)
			files = append(files, File{Path: path, Base: base, Next: next})
		}
	}
	slices.SortStableFunc(files, func(x, y File) int { return int(min(1, max(-1, x.Base-y.Base))) })
	return files, nil
}

// file copies records from an offset on into a file. Where the log starts behind that by
// now, nothing is copied, and earliest says where.
func (b *maker) file(ctx context.Context, topic string, number int, dir string, at, end int64) (f *File, earliest int64, err error) {
	f = &File{Base: at, Next: at}
	temporary := filepath.Join(b.o.Dir, dir, "reading")
	err = place(temporary, func(out *os.File) error {
		w := bufio.NewWriterSize(out, 1<<20)
		size := int64(0)
		for f.Next < end && size < b.o.FileBytes {
			page, err := b.page(ctx, topic, number, f.Next)
			if err != nil {
				return err
			}
			if page.Earliest > at {
				earliest = page.Earliest
				return nil
			}
			for _, raw := range page.Records {
				var l line
				if err := json.Unmarshal(raw, &l); err != nil {
					return err
				}
				if l.Offset >= end {
					break
				}
				var compact bytes.Buffer
				if err := json.Compact(&compact, raw); err != nil {
					return err
				}
				compact.WriteByte('\n')
				size += int64(compact.Len())
				if _, err := w.Write(compact.Bytes()); err != nil {
					return err
				}
			}
			if page.NextOffset <= f.Next {
				return fmt.Errorf("nothing is read from offset %d on, and the end was %d", f.Next, end)
			}
			f.Next = min(end, page.NextOffset)
		}
		return w.Flush()
	})
	if err != nil || earliest > at {
		return nil, earliest, err
	}
	f.Path = fmt.Sprintf("%s/%020d-%020d.ndjson", dir, f.Base, f.Next)
	if b.isKnown(f.Path) { // of a backup before, of a topic that was compacted since
		f.Path = fmt.Sprintf("%s/%d-%020d-%020d.ndjson", dir, b.m.Number, f.Base, f.Next)
	}
	path := filepath.Join(b.o.Dir, filepath.FromSlash(f.Path))
	if err := os.Rename(temporary, path); err != nil {
		return nil, 0, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, 0, err
	}
	return f, 0, f.scan(b.o.Dir, nil)
}

// isKnown reports whether a file is there, which another backup may need.
func (b *maker) isKnown(path string) bool {
	_, err := os.Lstat(filepath.Join(b.o.Dir, filepath.FromSlash(path)))
	return err == nil
}

// page is the answer to a read.
type page struct {
	Records       []json.RawMessage `json:"records"`
	NextOffset    int64             `json:"next_offset"`
	HighWatermark int64             `json:"high_watermark"`
	Earliest      int64             `json:"earliest"`
}

func (b *maker) page(ctx context.Context, topic string, number int, at int64) (*page, error) {
	var p page
	err := b.get(ctx, partitionPath(topic, number)+"/records", url.Values{
		"cluster": {b.o.Cluster}, "offset": {strconv.FormatInt(at, 10)}, "max_records": {strconv.Itoa(pageRecords)},
	}, &p)
	if code(err) == "offset_out_of_range" {
		info, err := b.topic(ctx, b.o.Cluster, topic)
		if err != nil {
			return nil, err
		}
		return &page{Earliest: *info.Partitions[number].Earliest}, nil
	}
	return &p, err
}

// clamp takes back to the end what groups have committed beyond it: compaction may have
// removed the last records of a partition.
func (b *maker) clamp() {
	ends := map[string][]Partition{}
	for i := range b.m.Topics {
		ends[b.m.Topics[i].Name] = b.m.Topics[i].Partitions
	}
	for _, g := range b.m.Groups {
		for i := range g.Offsets {
			o := &g.Offsets[i]
			if partitions := ends[o.Topic]; o.Partition < len(partitions) {
				o.Offset = min(o.Offset, partitions[o.Partition].End)
			}
		}
	}
}
