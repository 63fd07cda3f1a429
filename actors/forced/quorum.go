package forced

import (
	"errors"
	"os"

	"ottla/actors/datadir"
	"ottla/actors/replica"
	"ottla/protocol"
)

// HasMetadataQuorum is a datadir.MetadataQuorum. It reports whether the copies of
// __cluster_metadata that are left can elect a leader under every membership that
// may be in force. Copies that are there but cannot be read count as present:
// their replicas say what is wrong with them when they are opened.
func HasMetadataQuorum(p *datadir.ClusterPlaces, ledgers map[int]*datadir.Ledger) bool {
	var copies []replica.Copy
	for _, place := range p.Brokers {
		l := ledgers[place.Broker]
		if l == nil || place.State != datadir.PlaceOK {
			continue
		}
		if r, ok := l.Live(protocol.MetadataTopic, 0); ok {
			copies = append(copies, inspectReplica(p.Manifest.ID, place.Broker, place.Dir, r))
		}
	}
	best := replica.Longest(copies)
	switch {
	case best != nil:
		return best.Quorum(presentIDs(copies))
	case len(copies) > 0:
		return true // there, but none is readable: its replicas say why
	}
	return foundersPresent(p)
}

// foundersPresent is the best guess where no ledger has the metadata.
func foundersPresent(p *datadir.ClusterPlaces) bool {
	ok := 0
	for _, v := range p.Manifest.Voters {
		if p.Brokers[v.Broker-1].State == datadir.PlaceOK {
			ok++
		}
	}
	return ok >= len(p.Manifest.Voters)/2+1
}

// presentIDs are the replicas that are there, readable or not.
func presentIDs(copies []replica.Copy) map[uint64]bool {
	ids := map[uint64]bool{}
	for i := range copies {
		if !errors.Is(copies[i].Err, os.ErrNotExist) {
			ids[copies[i].ReplicaID] = true
		}
	}
	return ids
}
