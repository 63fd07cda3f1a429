// Package follow reads the metadata of a cluster from its leader, as a consumer would,
// while a node runs no replica of it, or one that does not get what is committed: it may
// have been taken out of its group, and only the metadata says so.
package follow
