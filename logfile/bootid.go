package logfile

import (
	"os"
	"strings"
)

// simulatedBootEnv names the variable with which a test that takes the disk
// away under a running kernel pretends that the machine was started anew.
const simulatedBootEnv = "OTTLA_SIMULATED_BOOT_ID"

// BootID identifies the running kernel, for Options.BootID: what is in the page
// cache survives a process, but not a boot. It is empty where the system has no
// such id.
func BootID() string {
	if id := os.Getenv(simulatedBootEnv); id != "" {
		return id
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
