// Package cli holds the subcommands of the ottla binary: what they read from
// flags, files and the environment, what they print, and how they end.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage. An error is printed once, by
// Run, as "ottla: ..." on standard error.
package cli
