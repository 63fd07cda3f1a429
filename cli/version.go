package cli

import "runtime/debug"

// version is set by the linker: -ldflags "-X ottla/cli.version=v1.2.3".
var version string

// buildVersion is the version that the linker set, else the commit that Go
// recorded, else "devel".
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
