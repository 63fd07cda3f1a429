package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsCommand is the argument with which this program runs as a NATS server.
const natsCommand = "nats-server"

// serveNATS runs one server, or a cluster of three in one process, as Ottla
// runs three brokers in one. The first listens on addr.
func serveNATS(args []string) error {
	flags := flag.NewFlagSet(natsCommand, flag.ExitOnError)
	addr := flags.String("addr", "", "where to listen")
	dir := flags.String("dir", "", "data directory")
	replicas := flags.Int("replicas", 1, "servers")
	always := flags.Bool("sync-always", false, "sync after every write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	routes := make([]string, *replicas)
	for i := range routes {
		var err error
		if routes[i], err = freeAddr(); err != nil {
			return err
		}
	}
	// The first server accepts clients only once all servers run.
	for i := *replicas - 1; i >= 0; i-- {
		listen := "127.0.0.1:-1"
		if i == 0 {
			listen = *addr
		}
		o, err := natsOptions(i, listen, filepath.Join(*dir, strconv.Itoa(i)), routes, *always)
		if err != nil {
			return err
		}
		srv, err := server.NewServer(o)
		if err != nil {
			return fmt.Errorf("NATS server: %w", err)
		}
		go srv.Start()
		defer srv.Shutdown()
		if !srv.ReadyForConnections(20 * time.Second) {
			return errors.New("NATS server does not get ready")
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
	return nil
}

func natsOptions(i int, listen, dir string, routes []string, always bool) (*server.Options, error) {
	host, port, err := hostPort(listen)
	if err != nil {
		return nil, err
	}
	o := &server.Options{
		ServerName: "n" + strconv.Itoa(i), Host: host, Port: port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: always,
	}
	if len(routes) == 1 {
		return o, nil
	}
	o.Cluster.Name = "peers"
	if o.Cluster.Host, o.Cluster.Port, err = hostPort(routes[i]); err != nil {
		return nil, err
	}
	for j, r := range routes {
		if j != i {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: r})
		}
	}
	return o, nil
}

func hostPort(addr string) (string, int, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.Atoi(text)
	return host, port, err
}
