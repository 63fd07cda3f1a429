// Package recordtest checks state machines of internal topics: what they hold
// must be a function of their log, compacted or not.
package recordtest
