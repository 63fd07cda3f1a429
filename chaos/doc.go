// Command chaos does harm to a broker while producers with ids, consumer groups
// and readers work on it, and then holds the history of their calls against the
// final log: nothing acknowledged may be missing, changed or there twice,
// nothing that was refused may be there, committed offsets are registers that
// never step back, groups skip nothing, and all brokers' files hold the same
// records.
//
// It starts the binary by itself, on a data directory of its own, prints its
// seed and the command that repeats it, and ends with status 1 if anything was
// violated. A campaign that is not possible here (no root, no loop device) says
// so and ends with status 0:
//
//	go run ./chaos -binary bin/ottla -campaign mix -rounds 30
//	go run ./chaos -list
//	go run ./chaos -sum bin/chaos.jsonl
package main
