// Package datadir is what a data directory says before any log is read: whose
// directories they are, and whether they may be used.
//
//	<data_dir>/cluster.json                              all clusters, and how far their creation has come
//	<data_dir>/node.json                                 which node of which fleet it is, and who founded that; never changed
//	<data_dir>/node-uuid                                 its uuid, before it belongs to a fleet
//	<data_dir>/LOCK                                      one process per data directory (flock)
//	<data_dir>/<log_directory>/broker-<n>/cluster.json   makes that directory broker n's, wherever it stands
//	<data_dir>/<log_directory>/broker-<n>/ledger.json    replica ids that the broker has or has had; counters
//
// All files are sealed JSON: a format version and a checksum, replaced by
// rename. A newer format is refused before anything is written.
//
// Invariants, and what is not obvious:
//
//   - A directory is bound by the identity in it, never by its path. Nothing is
//     begun anew where something says that it existed.
//   - A replica's log is created before the ledger knows it, and it runs only
//     after: a crash in between leaves a directory whose identity fits, never a
//     ledger entry without a directory, which means "lost". What stands there
//     damaged, and not in the ledger, is put aside.
//   - REPLACES-LOST in a broker's directory says that a former one was lost and
//     the metadata does not have successors for all its replicas yet. Without it a
//     crash in between would make lost voters look like ones never created.
//   - Each ledger counts its broker's opens and closes, and the peers' ledgers have
//     the count on disk before that broker's replicas run (Introductions): so a
//     directory restored from an older copy is noticed, however it got there. The
//     count goes up on disk first, and only then to the peers: a crash in between
//     looks like a peer that knows less, never more.
//   - A crash between the manifests of a new cluster's brokers leaves brokers that
//     have everything but cluster.json. The next start writes what is missing; they
//     would pass for lost otherwise, a majority of them.
//   - A name that a process sees need not be on disk: the sync of its directory may
//     have failed before a kill. So loading syncs directories before it deletes what
//     a name replaces.
//   - Directories named *.replaced-N (a damaged or outdated replica) and *.aside-N (a
//     broker directory that was in the way) are kept for people; *.deleted-ID and
//     *.moved are on their way out.
package datadir
