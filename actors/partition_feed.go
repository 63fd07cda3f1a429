package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/background"
	"ottla/actors/replica"
	"ottla/actors/routing"
)

// pieceRead brings what was read for a follower that is far behind.
type pieceRead struct{ *replica.Read }

// nearBytes is how little a voter may be behind without being held to the pace: else one
// that stumbled could not get up again where more is written than that.
const nearBytes = 128 << 20

// readPieces has read what followers lack that are far behind, beside the mailbox. One
// that has to have it before anything is committed again is not held to the pace.
func (p *partitionActor) readPieces(ctx actor.Context, pieces []*replica.Read) {
	if len(pieces) == 0 {
		return
	}
	voters, _ := p.rep.Voters()
	majority := len(p.rep.InSync(p.spec.group.Reachable)) > len(voters)/2
	self, root, catchUp := ctx.Self(), ctx.ActorSystem().Root, p.env.catchUp
	for _, rd := range pieces {
		turn := background.Turn{Peer: p.spec.group.NodeOf(rd.To), Bytes: replica.ReadBytes, Paced: !rd.Voter || majority && rd.Behind > nearBytes}
		go func() {
			grant := catchUp.Take(rd.Context, turn)
			if grant == nil {
				return
			}
			grant.Read(rd.Do())
			rd.Release = grant.Release
			root.Send(self, &pieceRead{rd})
		}()
	}
}

// lags says how far followers are behind that are fed.
func (p *partitionActor) lags() (all []routing.Lag) {
	for _, l := range p.rep.Lags() {
		p.env.catchUp.Note(l.Context, l.Bytes)
		all = append(all, routing.Lag{Replica: l.Replica, Bytes: l.Bytes, Rate: p.env.catchUp.Rate(l.Context)})
	}
	return all
}
