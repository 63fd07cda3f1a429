package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"

	"ottla/certs"
	"ottla/config"
)

// frontEnd is the part of the HTTP server that starting and stopping needs.
type frontEnd interface {
	// Serve answers requests until Shutdown, then returns nil.
	Serve(net.Listener) error
	// Shutdown stops accepting, ends parked polls and waits for the rest.
	Shutdown(context.Context) error
}

// brokerNode is the part of the node that starting and stopping needs.
type brokerNode interface {
	// Shutdown closes all logs with a checkpoint and releases the data directory.
	Shutdown(context.Context) error
	// Failed gets an error when the node cannot go on.
	Failed() <-chan error
}

// opener opens the data directory and makes the server for it. It returns once
// storage is open; recovery continues while the server answers. Host and port are
// those that broker listings show; the token of the administrator is empty if there
// is none.
type opener func(ctx context.Context, cfg *config.Config, l *logs, adminToken, host string, port int) (frontEnd, brokerNode, error)

var errSecondSignal = errors.New("interrupted before the shutdown was complete")

// serve runs the broker until a signal. The listener opens first, so that a
// port in use is reported before the data directory is touched.
func serve(p *process, cfg *config.Config) error {
	defer p.heeds()()
	l := newLogs(p.stderr, p.terminal, cfg.Log)
	defer l.close()
	log := l.logger("cli")
	admin, err := adminToken(cfg, p.lookupEnv, log)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return listenFailure(err)
	}
	defer ln.Close() //nolint:errcheck // closed by Shutdown already, except on the error paths
	scheme := "http"
	served := ln
	if cfg.TLS.Cert != "" {
		secured, err := certs.Server(certs.Files{
			Cert: cfg.TLS.Cert, Key: cfg.TLS.Key, ClientCA: cfg.TLS.ClientCA, MinVersion: tlsVersions[cfg.TLS.MinVersion],
		}, log)
		if err != nil {
			return fmt.Errorf("set up TLS: %w", err)
		}
		scheme, served = "https", tls.NewListener(ln, secured)
	}
	host, port, err := advertised(cfg, ln)
	if err != nil {
		return err
	}
	if cfg.PprofListen != "" {
		stop, err := startPprof(cfg.PprofListen, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	srv, node, err := p.open(context.Background(), cfg, l, admin, host, port)
	if err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(served) }()
	fmt.Fprintf(p.stdout, "ottla %s listening on %s://%s, data in %s\n", buildVersion(), scheme, ln.Addr(), cfg.DataDir)
	if k, ok := srv.(*bothFaces); ok {
		fmt.Fprintf(p.stdout, "Kafka clients of cluster %s: bootstrap server %s\n", cfg.Kafka.Cluster, k.kafka.Addr())
	}

	select {
	case sig := <-p.signals:
		log.Info("shutting down", "signal", sig.String())
		return shutdown(p, cfg, srv, node)
	case err := <-node.Failed():
		log.Error("the broker cannot continue and shuts down", "error", err)
		return errors.Join(fmt.Errorf("broker failed: %w", err), shutdown(p, cfg, srv, node))
	case err := <-ended:
		err = fmt.Errorf("serve: %w", errors.Join(err, errors.New("listener closed")))
		return errors.Join(err, shutdown(p, cfg, srv, node))
	}
}

// tlsVersions are the values of tls.min_version.
var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// shutdown stops the server, then the node, so that no request is in flight when
// the logs are closed. It gives up at a second signal and after the timeout.
func shutdown(p *process, cfg *config.Config, srv frontEnd, node brokerNode) error {
	ctx, cancel := context.WithTimeout(context.Background(), cfg.ShutdownTimeout.D())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := srv.Shutdown(ctx)
		done <- errors.Join(err, node.Shutdown(ctx))
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("shut down: %w", err)
		}
		return nil
	case <-p.signals:
		return errSecondSignal
	case <-ctx.Done():
		return fmt.Errorf("shut down: not complete within %s", cfg.ShutdownTimeout)
	}
}

// listenFailure is why the address of the API cannot be had.
func listenFailure(err error) error {
	err = fmt.Errorf("open listener: %w", err)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w; choose another address with --listen or OTTLA_LISTEN", err)
	}
	return err
}

// advertised is the host and port that broker listings show.
func advertised(cfg *config.Config, ln net.Listener) (string, int, error) {
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return "", 0, fmt.Errorf("listener address %s is not TCP", ln.Addr())
	}
	if cfg.AdvertisedHost != "" {
		return cfg.AdvertisedHost, addr.Port, nil
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen address: %w", err)
	}
	if host == "" {
		host = "localhost"
	}
	return host, addr.Port, nil
}
