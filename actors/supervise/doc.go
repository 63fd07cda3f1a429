// Package supervise says what happens when an actor panics. It is stopped, never resumed
// or rebuilt in place: its state can no longer be trusted, and all of it can be read again
// from the logs. Every request sent to it is answered: the one it was working on with
// outcome unknown, those still in the mailbox and those that come later with outcome none.
// Its parent learns why it ended, and decides what follows:
//
//	group, coordinator's part  the group's next request starts a new actor from the committed records
//	partition                  another replica leads, within milliseconds; the broker reports the replica
//	                           and opens it again after 1 s, doubling, six times at most
//	broker                     its replicas end, others lead at once; state failed with the cause; started
//	                           again by the API at any time, by itself after 1 s, doubling to a minute
//	cluster                    its brokers end with it; started again as at a start of the process, after
//	                           the same pauses; other clusters go on
//	disk, node                 the process ends with an error and exit code 1: whoever runs it starts it again
//
// The package also keeps the goroutines on which mailboxes run. How long what has failed
// rests before it is started again is remedy.Backoff's.
package supervise
