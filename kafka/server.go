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

// watchInterval is how often the server looks which brokers run.
const watchInterval = 250 * time.Millisecond

// Server is a Kafka node for each broker of a cluster.
type Server struct {
	b    Backend
	o    Options
	log  *slog.Logger
	host string
	port int // of the first broker; 0: each has a port of its own
	addr net.Addr

	done  chan struct{} // closed when Shutdown begins
	end   sync.Once
	conns sync.WaitGroup
	open  atomic.Int64

	codec   int // of answers
	ids     topicIDs
	metrics *metrics

	mu        sync.Mutex
	listeners map[int32]*listener // by the broker's id
	failed    map[int32]bool      // whose ports could not be opened, and that is logged
}

// listener is the port of one broker.
type listener struct {
	net.Listener
	broker int32
	port   int32

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	over  bool
}

// New opens the port of the first broker, so that one that is in use is reported at
// once. Serve opens those of the others when they run.
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
// stands for the node.
const firstPort = 1

// self is the id of the node that the first port stands for; 0 while it is not known.
func (s *Server) self() int32 {
	if s.o.Fleet {
		return int32(s.b.Node())
	}
	return firstPort
}

// Addr is the address of the first port.
func (s *Server) Addr() net.Addr { return s.addr }

// listen opens the port of a broker.
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

// Serve serves until Shutdown.
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

// follow opens the ports of brokers that run, and closes those of others. In a fleet
// there is one port, which stands for whatever the node runs.
func (s *Server) follow() {
	if s.o.Fleet {
		return
	}
	brokers, err := s.brokers()
	if err != nil {
		return // nothing is known yet, or not any more
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

// brokers lists the brokers of the cluster.
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

func (s *Server) accept(l *listener) {
	var delay time.Duration
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as no descriptors
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(delay):
			case <-s.done:
				return
			}
			continue
		}
		delay = 0
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

func (s *Server) serve(nc net.Conn) {
	if s.o.TLS != nil {
		nc = tls.Server(nc, s.o.TLS)
	}
	c := newConn(s, nc)
	defer c.close()
	c.run()
}

func (l *listener) add(nc net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.conns[nc] = struct{}{}
	}
	return !l.over
}

func (l *listener) remove(nc net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, nc)
	_ = nc.Close()
}

// close closes the port, and with it its connections.
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
			_ = nc.SetReadDeadline(time.Unix(1, 0)) // idle ones end, busy ones when they are done
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
