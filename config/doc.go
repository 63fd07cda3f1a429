// Package config holds the settings of the broker: their defaults, a strict
// loader for config.yaml, overrides from the environment and validation.
//
// A later source overrides an earlier one: Default, the file, and environment
// variables named OTTLA_ plus the key's path in upper case (limits.body_bytes is
// OTTLA_LIMITS_BODY_BYTES). Command line flags come last; package cli has them.
//
// Invariants:
//
//   - A key that is unknown, given twice or without a value is an error. All
//     errors of a file are reported together, with line and key.
//   - Only Config describes settings: the file, the environment and YAML all
//     follow its fields, and a test compares config.yaml with Default.
//   - The package knows no other one of Ottla's; cli hands the settings on.
package config
