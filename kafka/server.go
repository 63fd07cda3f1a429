package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

// watchInterval is how often the server looks which brokers run. Clients are told only of
// ports that are open, so a late look costs them a hop, and no error.
const watchInterval = 250 * time.Millisecond

// Server is a Kafka node for each broker of a cluster. Serve's goroutine opens and closes the
// ports; each port has a goroutine that accepts, each connection one that answers.
type Server struct {
	b    Backend
	o    Options
	log  *slog.Logger
	host string
	port int // of the first broker; 0: each has a port of its own
	addr net.Addr

	done  chan struct{} // closed when Shutdown begins
	end   sync.Once
	conns sync.WaitGroup // goroutines of ports and connections
	open  atomic.Int64   // connections, of all ports

	codec   int // of records in answers
	ids     topicIDs
	metrics *metrics

	mu        sync.Mutex          // of listeners: changed by New and Serve, read by connections that describe the cluster
	listeners map[int32]*listener // by the broker's id
	failed    map[int32]bool      // whose ports could not be opened, and that is logged; Serve's alone
}

// listener is the port of one broker.
type listener struct {
	net.Listener
	broker int32
	port   int32

	mu    sync.Mutex
	conns map[net.Conn]struct{} // below TLS: closing them sends nothing, and so waits for nobody
	over  bool                  // a connection that was accepted meanwhile is not let in any more
}

// New opens the port of the first broker, so that one that is in use is reported at
// once, and the process ends. Serve opens those of the others when they run; that one of them
// is in use is only logged, as clients get along without it.
func New(b Backend, o Options) (*Server, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("kafka.listen: %w", err)
	}
	s := &Server{
		b: b, o: o, log: o.Logger, host: host, done: make(chan struct{}),
		listeners: map[int32]*listener{}, failed: map[int32]bool{},
	}
	s.metrics = newMetrics(s)
	if s.codec, err = codecOf(o.Compression); err != nil {
		return nil, err
	}
	if s.port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("kafka.listen: port %q is no number", port)
	}
	if err := s.listen(firstPort); err != nil {
		return nil, fmt.Errorf("open kafka.listen: %w", err)
	}
	s.addr = s.listeners[firstPort].Addr()
	return s, nil
}

// firstPort is the broker whose port is opened first. In a fleet it is the only one, and
// stands for the node. It is open before broker 1 runs, and is closed when that does not:
// clients that know no other port have to wait then.
const firstPort = 1

// self is the id of the node that the first port stands for; 0 while it is not known, as of
// one that is about to join its fleet. Clients are not told of a node 0.
func (s *Server) self() int32 {
	if s.o.Fleet {
		return int32(s.b.Node())
	}
	return firstPort
}

// Addr is the address of the first port.
func (s *Server) Addr() net.Addr { return s.addr }

// listen opens the port of a broker. Ports follow each other in the order of ids, so that an
// operator knows which to open in a firewall, and a broker has the same after a restart:
// clients keep what they were told for minutes.
func (s *Server) listen(broker int32) error {
	port := s.port
	if port != 0 {
		port += int(broker) - 1
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(s.host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	l := &listener{Listener: ln, broker: broker, conns: map[net.Conn]struct{}{}}
	if at, ok := ln.Addr().(*net.TCPAddr); ok {
		l.port = int32(at.Port)
	}
	s.mu.Lock()
	s.listeners[broker] = l
	s.mu.Unlock()
	return nil
}

// Serve serves until Shutdown. Brokers start and stop meanwhile; it finds that out by looking,
// because nobody would tell it.
func (s *Server) Serve() {
	s.mu.Lock()
	for _, l := range s.listeners {
		s.conns.Go(func() { s.accept(l) })
	}
	s.mu.Unlock()
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		s.follow()
		select {
		case <-tick.C:
		case <-s.done:
			return
		}
	}
}

// follow opens the ports of brokers that run, and closes those of others with their
// connections: clients then look for a node that answers, as they do when a Kafka broker ends.
// They notice up to watchInterval late, which does no harm, as any port serves any partition.
// In a fleet there is one port, which stands for whatever the node runs.
func (s *Server) follow() {
	if s.o.Fleet {
		return
	}
	brokers, err := s.brokers()
	if err != nil {
		return // nothing is known yet, or not any more: what is open stays open, and says so in its answers
	}
	for _, b := range brokers {
		id, runs := int32(b.ID), b.State == protocol.BrokerRunning
		s.mu.Lock()
		l := s.listeners[id]
		s.mu.Unlock()
		switch {
		case runs && l == nil:
			s.openFor(id)
		case !runs && l != nil:
			s.mu.Lock()
			delete(s.listeners, id)
			s.mu.Unlock()
			l.close()
		}
	}
}

// openFor opens the port of a broker that has begun to run, and tries again with the next look
// if that fails. Whether Shutdown has begun is asked after the port is in the map: either this
// finds that it has, or Shutdown finds the port.
func (s *Server) openFor(id int32) {
	err := s.listen(id)
	if err != nil {
		if !s.failed[id] {
			s.log.Error("the Kafka port of a broker cannot be opened; clients use those of the others", "broker", id, "error", err)
		}
		s.failed[id] = true
		return
	}
	s.failed[id] = false
	s.mu.Lock()
	l := s.listeners[id]
	s.mu.Unlock()
	select {
	case <-s.done:
		l.close()
	default:
		s.conns.Go(func() { s.accept(l) })
	}
}

// brokers lists the brokers of the cluster, asked for by the server itself and not for a client.
func (s *Server) brokers() ([]protocol.BrokerInfo, *protocol.Error) {
	clusters, err := s.b.Clusters()
	if err != nil {
		return nil, err
	}
	for i := range clusters {
		if clusters[i].Name == s.o.Cluster {
			return clusters[i].Brokers, nil
		}
	}
	return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", s.o.Cluster)
}

// accept lets clients in. One too many is closed without a word: no request has come that
// could be answered, and clients try again after a pause (reconnect.backoff.ms).
func (s *Server) accept(l *listener) {
	var delay time.Duration
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Such as no descriptors, which passes when others end.
		if err != nil {
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(delay):
			case <-s.done:
				return
			}
			continue
		}
		delay = 0
		// Counted before it is compared: two ports may accept at the same time.
		if s.open.Add(1) > int64(s.o.MaxConnections) || !l.add(nc) {
			s.open.Add(-1)
			_ = nc.Close()
			continue
		}
		s.conns.Go(func() {
			defer s.open.Add(-1)
			defer l.remove(nc)
			s.serve(nc)
		})
	}
}

// serve answers one client until one of the two has enough. The handshake of TLS is not made
// here but with the first read, or in certificate: both give the client only so much time.
func (s *Server) serve(nc net.Conn) {
	if s.o.TLS != nil {
		nc = tls.Server(nc, s.o.TLS)
	}
	c := newConn(s, nc)
	defer c.close()
	c.run()
}

// add reports whether a connection is let in: not if the port was closed while it was accepted.
func (l *listener) add(nc net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.conns[nc] = struct{}{}
	}
	return !l.over
}

// remove closes a connection that has ended, whoever has ended it; a second time does no harm.
func (l *listener) remove(nc net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, nc)
	_ = nc.Close()
}

// close closes the port, and with it its connections, also those that are being answered: what
// they have asked for may be done all the same, as with any connection that is lost.
func (l *listener) close() {
	_ = l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for nc := range l.conns {
		_ = nc.Close()
	}
}

// Shutdown closes all ports, lets what is being answered be answered, and returns when
// all connections have ended or ctx ends.
//
// Done is closed before the deadlines of connections are set, and patience looks at it after
// it has set one: so no connection waits for a request with a deadline that came too late.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end.Do(func() { close(s.done) })
	s.mu.Lock()
	listeners := make([]*listener, 0, len(s.listeners))
	for _, l := range s.listeners {
		listeners = append(listeners, l)
	}
	s.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
		l.mu.Lock()
		l.over = true
		for nc := range l.conns {
			// Idle ones end, busy ones when they are done: what they have asked for is answered.
			_ = nc.SetReadDeadline(time.Unix(1, 0))
		}
		l.mu.Unlock()
	}
	ended := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		for _, l := range listeners {
			l.close()
		}
		return fmt.Errorf("shut down the Kafka ports: %w", ctx.Err())
	}
}
