package cli

import (
	"log/slog"
	"syscall"
)

// connectionLimit is the number of connections that may be open: the configured
// number, or fewer if the process's file descriptors (nofile) would not suffice
// for log files too. Clients must not be able to keep the broker from opening
// files by connecting.
func connectionLimit(configured int, nofile uint64) int {
	reserve := min(max(1000, nofile/8), nofile/2)
	return int(max(1, min(uint64(configured), nofile-reserve)))
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
