package bench

import (
	"os"
	"runtime"
	"strings"
	"time"
)

// Environment describes the machine and the build that a result comes from.
type Environment struct {
	Time       time.Time `json:"time"`
	Version    string    `json:"version"`
	Go         string    `json:"go"`
	System     string    `json:"system"`
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	Filesystem string    `json:"filesystem"`

	// SyncMicros is the median time to make 4 KiB durable on that filesystem.
	SyncMicros float64 `json:"fdatasync_p50_us"`
}

// Describe returns the environment of a result with these options. It probes the
// disk, which takes a moment.
func Describe(o Options) (Environment, error) {
	dir := o.DataDir
	if dir == "" {
		dir = os.TempDir()
	}
	took, err := probeSync(dir)
	return Environment{
		Time: time.Now().UTC().Truncate(time.Second), Version: o.Version, Go: runtime.Version(), System: kernel(),
		CPU: cpuModel(), Cores: runtime.NumCPU(), Filesystem: filesystem(dir), SyncMicros: micros(int64(took)),
	}, err
}

// cpuModel is the CPU as Linux names it, elsewhere the architecture.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			name, value, found := strings.Cut(line, ":")
			if found && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}
