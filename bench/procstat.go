package bench

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is the CPU time that a process has used, and its memory.
type usage struct {
	cpu time.Duration
	rss int64 // bytes, now
}

// ticksPerSecond is USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// usageOf reads /proc; where there is none, it returns zeros.
func usageOf(pid int) usage {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return usage{}
	}
	// The second field is the name, in parentheses; it may contain anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const (
		utime = 11 // counted after the name
		stime = 12
		rss   = 21
	)
	if len(fields) <= rss {
		return usage{}
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		return n
	}
	return usage{
		cpu: time.Duration(number(utime)+number(stime)) * time.Second / ticksPerSecond,
		rss: number(rss) * int64(os.Getpagesize()),
	}
}
