package datadir

import "os"

// Why a broker's directory is replaced; values of a metric's label.
const (
	DirectoryLost     = "lost"     // missing, damaged or somebody else's
	DirectoryOutdated = "outdated" // an older copy
)

// OpenedBroker is a broker's directory that is in use.
type OpenedBroker struct {
	Ledger   *Ledger
	Before   uint64 // the counter before this start, 0 of a directory that is new
	Replaced string // why a new directory took the place of the one that was there; "": it did not
	Why      error  // in detail
}

// OpenBroker makes a broker's directory usable and opens its ledger. A directory that is
// missing, belongs to another broker or is an older copy counts as lost: a new, empty one
// takes its place, and is marked (see MarkReplacesLost). Creating says that the cluster is
// being made, and its manifest not written yet; known is the greatest counter of the
// broker that a peer has noted. With an error the result may say what was replaced.
func (m *Manifests) OpenBroker(dir, cluster string, broker int, creating bool, known uint64) (o OpenedBroker, err error) {
	reason, before, why := unusable(dir, cluster, broker, known)
	o.Before = before
	if reason != "" && !creating {
		o.Replaced, o.Why = reason, why
		if err := m.replaceDirectory(dir, cluster, broker, reason); err != nil {
			return o, err
		}
	}
	o.Ledger, err = OpenLedger(dir, cluster, broker, known)
	return o, err
}

// unusable says why a directory must be replaced, "" if it need not be.
func unusable(dir, cluster string, broker int, known uint64) (reason string, before uint64, err error) {
	if err := CheckBrokerDir(dir, cluster, broker); err != nil {
		return DirectoryLost, 0, err
	}
	l, err := ReadLedger(dir, cluster, broker)
	if err != nil {
		return "", 0, err // opening it fails likewise, and says why
	}
	age := Age{Opens: l.OpenCount(), Known: known}
	if IsOldCopy(dir, l, age) {
		return DirectoryOutdated, 0, age.Err()
	}
	return "", l.OpenCount(), nil
}

func (m *Manifests) replaceDirectory(dir, cluster string, broker int, reason string) error {
	if _, err := os.Lstat(dir); err == nil {
		if _, err := m.PutAside(dir); err != nil {
			return err
		}
	}
	return m.RenewBroker(cluster, broker, func(dir string) error {
		if err := MarkReplacesLost(dir, reason); err != nil {
			return err
		}
		return CreateLedger(dir, cluster, broker)
	})
}
