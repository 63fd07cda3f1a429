package actors

import (
	"path"
	"strings"

	"ottla/actors/datadir"
	"ottla/actors/routing"
	"ottla/protocol"
)

// hold keeps a cluster from being started.
func (a *nodeActor) hold(h *clusterHandle, p *datadir.ClusterPlaces) {
	h.Refused = &routing.Refusal{Reason: firstLine(p.Refused), Info: a.heldInfo(p)}
	h.SetProblem(h.Refused.Reason)
	a.env.log.Error("cluster is not started", "cluster", h.manifest.Name, "error", p.Refused)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// heldInfo is what is known of a cluster without its metadata.
func (a *nodeActor) heldInfo(places *datadir.ClusterPlaces) protocol.ClusterInfo {
	m := places.Manifest
	info := protocol.ClusterInfo{
		ID: m.ID, Name: m.Name, NumBrokers: m.NumBrokers, LogDirectory: m.LogDirectory, Fsync: m.Fsync,
		CreatedAt: m.CreatedAt, Error: firstLine(places.Refused),
	}
	for _, p := range places.Brokers {
		b := protocol.BrokerInfo{
			ID: p.Broker, Host: a.env.opt.Host, Port: a.env.opt.Port, State: protocol.BrokerStopped, Cluster: m.Name, CreatedAt: m.CreatedAt,
			Directory: path.Join(m.LogDirectory, datadir.BrokerDirName(p.Broker)),
		}
		if p.Err != nil {
			b.State, b.Error = protocol.BrokerFailed, p.Err.Error()
		}
		info.Brokers = append(info.Brokers, b)
	}
	return info
}
