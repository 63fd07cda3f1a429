// Package linktest has addresses for tests whose servers start again where they were.
package linktest
