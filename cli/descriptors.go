package cli

import (
	"bytes"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// A process has so many file descriptors, and must run out of them neither for log
// files nor for connections, whatever clients do. So they are divided: replicas have
// three eighths, each one for its newest log file while it is in use, and connections
// the rest, less what is kept for everything else.

// spareDescriptors are for sealed log files, compaction, listeners and the like.
func spareDescriptors(nofile uint64) uint64 { return min(500, nofile/8) }

// replicaDescriptors are for the newest log files of replicas.
func replicaDescriptors(nofile uint64) uint64 { return nofile / 8 * 3 }

// connectionLimit is the number of connections that may be open: the configured
// number, or fewer if the process's file descriptors (nofile) would not suffice
// for log files too. Clients must not be able to keep the broker from opening
// files by connecting.
func connectionLimit(configured int, nofile uint64) int {
	return int(max(1, min(uint64(configured), nofile-replicaDescriptors(nofile)-spareDescriptors(nofile))))
}

// replicaBytes is the memory that a replica takes, and half as much again for what
// its topic, its routes and its leader's state take elsewhere.
const replicaBytes = 64 << 10

// replicaLimit is the number of replicas that a process with so many descriptors, on
// a machine with so much memory (0: unknown), may carry.
func replicaLimit(nofile, memory uint64) int {
	limit := min(replicaDescriptors(nofile), 10_000_000)
	if memory > 0 {
		limit = min(limit, memory/2/replicaBytes)
	}
	return int(max(limit, 1))
}

// boundedReplicas is the configured number of replicas, or what this process carries
// if that is 0.
func boundedReplicas(configured int, log *slog.Logger) int {
	if configured > 0 {
		return configured
	}
	var nofile syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &nofile); err != nil {
		log.Warn("cannot tell how many file descriptors there are: the number of partitions is not limited", "error", err)
		return 0
	}
	memory := availableMemory()
	limit := replicaLimit(nofile.Cur, memory)
	log.Info("carrying a limited number of replicas of partitions: limits.partitions sets another",
		"partitions", limit, "open_files", nofile.Cur, "memory_bytes", memory)
	return limit
}

// openLogs is how many replicas may have their newest log file open while it is not
// in use; 0 if that cannot be told.
func openLogs() int {
	var nofile syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &nofile); err != nil {
		return 0
	}
	return int(min(replicaDescriptors(nofile.Cur), 10_000_000))
}

// availableMemory is how much memory the process may have, in bytes: that of the
// machine, of its control group or of GOMEMLIMIT, whichever is least. It is 0 if
// that cannot be told.
func availableMemory() uint64 {
	least := uint64(0)
	consider := func(n uint64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range bytes.Lines(text) {
			if fields := strings.Fields(string(line)); len(fields) > 1 && fields[0] == "MemTotal:" {
				kib, _ := strconv.ParseUint(fields[1], 10, 64)
				consider(kib << 10)
			}
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(file); err == nil {
			n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // "max" is none
			consider(n)
		}
	}
	consider(uint64(debug.SetMemoryLimit(-1)))
	return least
}

// boundedConnections applies connectionLimit to this process.
func boundedConnections(configured int, log *slog.Logger) int {
	var nofile syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &nofile); err != nil {
		log.Warn("cannot tell how many file descriptors there are", "error", err)
		return configured
	}
	limit := connectionLimit(configured, nofile.Cur)
	if limit < configured {
		log.Info("accepting fewer connections than limits.connections: the rest of the file descriptors is reserved for log files; raise the limit of open files for more",
			"connections", limit, "configured", configured, "open_files", nofile.Cur)
	}
	return limit
}
