package actors

import (
	"errors"
	"os"
	"time"

	"ottla/actors/datadir"

	"github.com/asynkron/protoactor-go/actor"
)

// Private messages of the broker actor that concern its ledger's counter.
type (
	// notePeers brings the counters of other brokers, to be written into this
	// broker's ledger. peersNoted answers when they are on disk, unless Number is 0.
	notePeers struct {
		Number uint64
		Counts map[int]uint64
	}
	peersNoted struct {
		Number uint64
		Broker int
		Err    error
	}
	// brokerRaised says that a running broker's counter was raised.
	brokerRaised struct {
		Broker int
		Opens  uint64
	}
	// refuseBroker takes a start back, before any replica has been opened.
	refuseBroker struct{}
)

// openDirectory makes the directory usable and opens its ledger.
func (b *brokerActor) openDirectory(m *startBroker) (wiped bool, err error) {
	b.before = 0
	opened, err := b.env.manifests.OpenBroker(b.dir, b.cluster.ID, b.number, m.Creating, m.Known)
	// A broker that never had anything may lack its directory. One that is there and is
	// another's, or an older copy, is a loss whatever the metadata says.
	lost := opened.Replaced != "" && (!m.New || !errors.Is(opened.Why, os.ErrNotExist))
	if lost {
		b.log.Error("the broker's directory cannot be used, a new one takes its place; its replicas are rebuilt under new ids",
			"directory", b.dir, "reason", opened.Replaced, "error", opened.Why)
	}
	if err != nil {
		return false, err
	}
	if lost {
		if opened.Replaced == datadir.DirectoryOutdated {
			b.env.stats.OutdatedDirs.Add(1)
		} else {
			b.env.stats.LostDirs.Add(1)
		}
	}
	b.ledger, b.before = opened.Ledger, opened.Before
	if opened.Replaced != "" && !lost {
		if err := datadir.UnmarkReplacesLost(b.dir); err != nil {
			return false, err
		}
	}
	// The mark is asked, not what has just happened: the loss may be that of an earlier start,
	// which crashed before the metadata had a successor for each replica.
	return datadir.ReplacesLost(b.dir), nil
}

// lossResolved takes the mark off, when all successors are decided on. If it stays, the next
// start only resolves the same loss once more, and finds nothing to do.
func (b *brokerActor) lossResolved() {
	b.wiped = false
	if err := datadir.UnmarkReplacesLost(b.dir); err != nil {
		b.log.Error("remove mark", "error", err)
	}
}

// raiseInterval is how often a running broker's counter is raised: a copy of
// the directory that was made longer ago than that is noticed even when the
// broker was not stopped since.
const raiseInterval = 10 * time.Minute

func (b *brokerActor) raiseTick(ctx actor.Context) {
	if b.env.now().Sub(b.raisedAt) < b.env.opt.raiseInterval || len(b.replicas) == 0 { // none: it is not let in
		return
	}
	// It is on disk here before anybody notes it. The other way round a crash in between would
	// leave a directory that is older than what its peers know: a sound one would be set
	// aside.
	if n := b.raise(); n > 0 {
		ctx.Send(b.parent, &brokerRaised{Broker: b.id, Opens: n})
	}
}

// raise raises the counter and returns it, or 0 if it could not be written.
func (b *brokerActor) raise() uint64 {
	b.raisedAt = b.env.now()
	if b.ledger == nil {
		return 0
	}
	if err := b.ledger.Raise(0); err != nil {
		b.log.Error("raise the ledger's counter", "error", err)
		return 0
	}
	return b.ledger.OpenCount()
}

// notePeers also works after a stop that ends the process: the data directory is
// still locked by this process then.
func (b *brokerActor) notePeers(ctx actor.Context, m *notePeers) {
	err := errors.New("the broker is not running")
	if b.ledger != nil && (b.state == brokerRunning || b.state == brokerStopped && b.ending) {
		if err = b.ledger.NotePeers(m.Counts); err != nil {
			b.log.Error("note the peers' counters", "error", err)
		}
	}
	if m.Number > 0 {
		ctx.Send(b.parent, &peersNoted{Number: m.Number, Broker: b.id, Err: err})
	}
}

// renumber tells the counter under another number.
func (b *brokerActor) renumber(ctx actor.Context, id int) {
	b.id = id
	if b.state == brokerRunning {
		ctx.Send(b.parent, &brokerRaised{Broker: id, Opens: b.raise()})
	}
}

// refused ends a start that the cluster does not let in. The ledger stays raised, which does
// no harm: counts only say which of two copies is the newer one.
func (b *brokerActor) refused() {
	b.stopClock()
	b.state = brokerFailed
}
