package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// format is the newest form of a manifest that this program reads, and the one it writes.
const format = 1

// maxManifest bounds what is read of a manifest, in bytes.
const maxManifest = 1 << 30

// Manifest is a complete backup.
type Manifest struct {
	Format  int       `json:"format"`
	Number  int       `json:"number"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Cluster Cluster   `json:"cluster"`
	Topics  []Topic   `json:"topics"` // by name
	Groups  []Group   `json:"groups"` // by name
	Sum     string    `json:"sha256"` // of the manifest with an empty sum
}

// Cluster is the cluster that the topics were in, as GET /cluster/{name} describes it.
type Cluster struct {
	Name              string  `json:"name"`
	NumBrokers        int     `json:"num_brokers"`
	Partitions        int     `json:"partitions"`
	RetentionHours    float64 `json:"retention_policies"`
	ReplicationFactor int     `json:"replication_factor"`
	Fsync             string  `json:"fsync"`
}

// Settings are those of a topic, as the API has them.
type Settings struct {
	ReplicationFactor int    `json:"replication_factor"`
	RetentionMs       int64  `json:"retention_ms"`
	RetentionBytes    int64  `json:"retention_bytes"`
	SegmentBytes      int64  `json:"segment_bytes"`
	CleanupPolicy     string `json:"cleanup_policy"`
	DeleteRetentionMs int64  `json:"delete_retention_ms"`
	MaxRecordBytes    int    `json:"max_record_bytes"`
}

// Topic is a topic with its records.
type Topic struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Settings   Settings    `json:"settings"`
	Partitions []Partition `json:"partitions"`
}

// Partition has the records from Start up to, and without, End.
type Partition struct {
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Files []File `json:"files"` // in the order of offsets
}

// File has the records from Base up to, and without, Next: fewer where compaction has
// removed some.
type File struct {
	Path    string `json:"path"` // below the directory, with slashes
	Base    int64  `json:"base"`
	Next    int64  `json:"next"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
	Sum     string `json:"sha256"`
}

// Group is a group with its committed offsets.
type Group struct {
	Name    string   `json:"name"`
	Offsets []Offset `json:"offsets"`
}

// Offset is the offset that a group has committed of a partition.
type Offset struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Metadata  string `json:"metadata,omitempty"`
}

// ErrNone says that a directory has no complete backup.
var ErrNone = errors.New("there is no complete backup")

var manifestName = regexp.MustCompile(`^BACKUP-([1-9][0-9]{0,8})\.json$`)

// Numbers are those of the complete backups in a directory, ascending.
func Numbers(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, e := range entries {
		if m := manifestName.FindStringSubmatch(e.Name()); m != nil {
			n, _ := strconv.Atoi(m[1])
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Read reads the manifest of a backup; 0 is the newest one. Errors: ErrNone; it is damaged
// or of a newer format.
func Read(dir string, number int) (*Manifest, error) {
	all, err := Numbers(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(all) == 0:
		return nil, fmt.Errorf("%s: %w", dir, ErrNone)
	case err != nil:
		return nil, err
	case number == 0:
		number = all[len(all)-1]
	case !slices.Contains(all, number):
		return nil, fmt.Errorf("%s has no backup %d: %w", dir, number, ErrNone)
	}
	path := filepath.Join(dir, nameOf(number))
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("%s is damaged: it is too large", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if m.Format > format {
		return nil, fmt.Errorf("%s has format %d, this program reads up to %d: use the program that wrote it", path, m.Format, format)
	}
	if sum, err := m.sum(); err != nil || sum != m.Sum || m.Number != number {
		return nil, fmt.Errorf("%s is damaged: its content does not match its checksum", path)
	}
	return m, nil
}

func nameOf(number int) string { return fmt.Sprintf("BACKUP-%d.json", number) }

// sum is the checksum of a manifest.
func (m *Manifest) sum() (string, error) {
	c := *m
	c.Sum = ""
	data, err := json.Marshal(&c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// write makes m a complete backup.
func (m *Manifest) write(dir string) (err error) {
	if m.Sum, err = m.sum(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, nameOf(m.Number))
	return place(path, func(f *os.File) error {
		_, err := f.Write(append(data, '\n'))
		return err
	})
}

// place writes a file that gets its name once it is on disk.
func place(path string, write func(*os.File) error) (err error) {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".tmp"))
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// topic finds a topic by its id; nil if it is not in the backup.
func (m *Manifest) topic(id string) *Topic {
	for i := range m.Topics {
		if m.Topics[i].ID == id {
			return &m.Topics[i]
		}
	}
	return nil
}

// line is what is looked at of a record.
type line struct {
	Offset    int64           `json:"offset"`
	Timestamp int64           `json:"timestamp"`
	Key       json.RawMessage `json:"key,omitempty"`
	KeyText   *string         `json:"key_text,omitempty"`
	KeyBase64 *string         `json:"key_base64,omitempty"`
	Value     json.RawMessage `json:"value,omitempty"`
	Text      *string         `json:"value_text,omitempty"`
	Base64    *string         `json:"value_base64,omitempty"`
	Headers   json.RawMessage `json:"headers,omitempty"`
	DeliverAt int64           `json:"deliver_at,omitempty"`
}

// keyed reports whether a record has a key.
func (l *line) keyed() bool {
	return l.KeyText != nil || l.KeyBase64 != nil || len(l.Key) > 0 && !bytes.Equal(l.Key, []byte("null"))
}
