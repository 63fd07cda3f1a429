package datadir

import (
	"path"
	"strings"

	"ottla/protocol"
)

// Reason is the first line of why a cluster must not be started. The whole
// error stands in the log.
func (p *ClusterPlaces) Reason() string {
	line, _, _ := strings.Cut(p.Refused.Error(), "\n")
	return line
}

// Info is what is known of a refused cluster without its metadata, which nobody has read.
// Host and port are where clients reach this process.
func (p *ClusterPlaces) Info(host string, port int) protocol.ClusterInfo {
	m := p.Manifest
	info := protocol.ClusterInfo{
		ID: m.ID, Name: m.Name, NumBrokers: m.NumBrokers, LogDirectory: m.LogDirectory, Fsync: m.Fsync,
		CreatedAt: m.CreatedAt, Error: p.Reason(),
	}
	for _, at := range p.Brokers {
		b := protocol.BrokerInfo{
			ID: at.Broker, Host: host, Port: port, State: protocol.BrokerStopped, Cluster: m.Name, CreatedAt: m.CreatedAt,
			Directory: path.Join(m.LogDirectory, BrokerDirName(at.Broker)),
		}
		if at.Err != nil {
			b.State, b.Error = protocol.BrokerFailed, at.Err.Error()
		}
		info.Brokers = append(info.Brokers, b)
	}
	return info
}
