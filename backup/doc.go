// Package backup copies topics of a running cluster into a directory, and back, by the
// HTTP API.
//
// A directory holds any number of backups, each of which is a manifest, BACKUP-<n>.json,
// and the files with records that it names. Files are shared: a backup of a topic that is
// not compacted takes over what an earlier one has of it, so it reads only what is new.
//
//	BACKUP-1.json
//	BACKUP-2.json
//	1f7a9c0de52b8a44-0/00000000000000000000-00000000000000004711.ndjson
//	1f7a9c0de52b8a44-0/00000000000000004711-00000000000000005000.ndjson
//
// A file is named by the id of the topic, the partition, the offset from which on it was
// read and the offset after that. Its lines are records as the API shows them. It gets its
// name once it is on disk; the manifest is written last. So what was interrupted is no
// backup, and the next one goes on from the files that are there.
//
// Each partition is copied from its log start up to the committed end that it had when
// the backup of it began. Groups' offsets are read before that, so none is beyond the end.
// Producers' sequences, tokens, sources, subscriptions and what queues know of single
// records are not in a backup.
//
// A topic is restored under the same offsets: it is created with partitions that begin
// where the log started, and records that compaction has removed in between are written as
// tombstones of a key that a later record has, so that the next compaction removes them
// again. Until all of it is there nobody but the restorer can read or write the topic. A
// restore that was interrupted goes on when it is started again.
package backup
