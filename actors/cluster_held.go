package actors

import (
	"path"
	"strings"
	"time"

	"ottla/actors/datadir"
	"ottla/protocol"
)

// A cluster that must not be started, because too much of it is missing, is
// held back while others serve: it is listed, and named by readiness, and what
// concerns it is answered with the reason. A request that names no cluster gets
// what the others have; what they do not have may be in the one held back, so
// it is neither "not found" nor created. After its directories have been put
// back, or given up, the process has to be started again. A cluster that has
// been without its metadata for long is treated in the same way until it has it.

// longStart is how long a start may take before requests that do not name a
// cluster no longer wait for it.
const longStart = 10 * time.Second

// hold keeps a cluster from being started.
func (a *nodeActor) hold(h *clusterHandle, p *datadir.ClusterPlaces) {
	h.refused = p
	why := firstLine(p.Refused)
	h.trouble.Store(&why)
	a.env.log.Error("cluster is not started", "cluster", h.manifest.Name, "error", p.Refused)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// heldBack reports whether requests that name no cluster do without this one.
func (h *clusterHandle) heldBack(now time.Time) bool {
	return h.routes.Load() == nil && !h.fresh && (h.refused != nil || now.Sub(h.known) > longStart)
}

// unavailable is the answer to what concerns a cluster without metadata.
func (h *clusterHandle) unavailable() *protocol.Error {
	if h.refused == nil {
		return errStarting
	}
	return protocol.Errorf(protocol.CodeNotEnoughReplicas, "%s (the server's log says more)", firstLine(h.refused.Refused))
}

// held is the answer to a question for what the clusters that serve do not
// have, nil if none is held back.
func (n *Node) held() *protocol.Error {
	var found *clusterHandle
	for name, h := range *n.clusters.Load() {
		if h.heldBack(n.env.now()) && (found == nil || name < found.manifest.Name) {
			found = h
		}
	}
	if found == nil {
		return nil
	}
	return found.unavailable()
}

// heldInfo is what is known of a cluster without its metadata.
func (n *Node) heldInfo(h *clusterHandle) protocol.ClusterInfo {
	m := h.manifest
	info := protocol.ClusterInfo{
		ID: m.ID, Name: m.Name, NumBrokers: m.NumBrokers, LogDirectory: m.LogDirectory, Fsync: m.Fsync,
		CreatedAt: m.CreatedAt, Error: firstLine(h.refused.Refused),
	}
	for _, p := range h.refused.Brokers {
		b := protocol.BrokerInfo{
			ID: p.Broker, Host: n.env.opt.Host, Port: n.env.opt.Port, State: brokerStopped, Cluster: m.Name, CreatedAt: m.CreatedAt,
			Directory: path.Join(m.LogDirectory, datadir.BrokerDirName(p.Broker)),
		}
		if p.Err != nil {
			b.State, b.Error = brokerFailed, p.Err.Error()
		}
		info.Brokers = append(info.Brokers, b)
	}
	return info
}
