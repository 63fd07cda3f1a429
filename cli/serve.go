package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"ottla/config"
)

// defaultConfigFile is read if it exists and --config names no other file.
const defaultConfigFile = "config.yaml"

// serveFlags are the flags of `ottla serve`. They override the environment, which
// overrides the file.
type serveFlags struct {
	config  string
	listen  string
	dataDir string
	check   bool

	kafka string

	node  config.Node
	seeds string
}

func newServe(p *process) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker (the default command)",
		Long: "Run the broker until SIGINT, SIGTERM or SIGHUP. It then finishes requests in\n" +
			"flight, closes every log with a checkpoint and exits with status 0. A second\n" +
			"signal makes it exit immediately with status 1. Under nohup SIGHUP is ignored.",
		Example: "  ottla serve --listen 127.0.0.1:9000 --data-dir /var/lib/ottla\n" +
			"  OTTLA_LOG_LEVEL=debug ottla serve --check",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := f.load(p.lookupEnv)
			if err != nil {
				return err
			}
			if f.check {
				return printConfig(p, cfg)
			}
			return serve(p, cfg)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `FILE` (default ./"+defaultConfigFile+" if present)")
	flags.StringVar(&f.listen, "listen", "", "address of the HTTP API, `HOST:PORT` (overrides the key listen)")
	flags.StringVar(&f.dataDir, "data-dir", "", "`DIR` of all logs (overrides the key data_dir)")
	flags.StringVar(&f.kafka, "kafka", "", "address for Kafka clients, `HOST:PORT` (overrides the key kafka.listen)")
	n := &f.node
	flags.StringVar(&n.Link, "link", "", "address for other nodes of a fleet, `HOST:PORT` (overrides the key node.link)")
	flags.StringVar(&n.AdvertiseLink, "advertise-link", "", "where other nodes reach it, `HOST:PORT` (node.advertise_link)")
	flags.StringVar(&f.seeds, "seeds", "", "nodes to found a fleet with or to join one by, `HOST:PORT,...` (node.seeds)")
	flags.StringVar(&n.Name, "node-name", "", "`NAME` of this node, unique in the fleet (node.name)")
	flags.StringVar(&n.Rack, "rack", "", "`RACK` or zone of this node (node.rack)")
	flags.StringVar(&n.LinkCert, "link-cert", "", "`FILE` with the certificate for other nodes (node.link_cert)")
	flags.StringVar(&n.LinkKey, "link-key", "", "`FILE` with its key (node.link_key)")
	flags.StringVar(&n.LinkCA, "link-ca", "", "`FILE` with the authority of all nodes (node.link_ca)")
	flags.BoolVar(&n.LinkInsecure, "link-insecure", false, "talk to nodes on other machines without TLS (node.insecure)")
	flags.BoolVar(&f.check, "check", false, "validate the configuration, print it and exit")
	return cmd
}

// load returns the defaults with file, environment and flags on top, validated.
func (f *serveFlags) load(lookupEnv func(string) (string, bool)) (*config.Config, error) {
	cfg, err := f.loadFile()
	if err != nil {
		return nil, err
	}
	if err := cfg.ApplyEnv(lookupEnv); err != nil {
		return nil, err
	}
	if f.listen != "" {
		cfg.Listen = f.listen
	}
	if f.dataDir != "" {
		cfg.DataDir = f.dataDir
	}
	if f.kafka != "" {
		cfg.Kafka.Listen = f.kafka
	}
	f.overrideNode(&cfg.Node)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("invalid configuration:\n%w", err)
	}
	return cfg, nil
}

// overrideNode puts the flags that concern several nodes over the configuration.
func (f *serveFlags) overrideNode(n *config.Node) {
	for _, o := range []struct{ to, from *string }{
		{&n.Link, &f.node.Link},
		{&n.AdvertiseLink, &f.node.AdvertiseLink},
		{&n.Name, &f.node.Name},
		{&n.Rack, &f.node.Rack},
		{&n.LinkCert, &f.node.LinkCert},
		{&n.LinkKey, &f.node.LinkKey},
		{&n.LinkCA, &f.node.LinkCA},
	} {
		if *o.from != "" {
			*o.to = *o.from
		}
	}
	if f.seeds != "" {
		n.Seeds = config.ParseList(f.seeds)
	}
	n.LinkInsecure = n.LinkInsecure || f.node.LinkInsecure
}

func (f *serveFlags) loadFile() (*config.Config, error) {
	if f.config != "" {
		return config.Load(f.config)
	}
	if _, err := os.Stat(defaultConfigFile); errors.Is(err, fs.ErrNotExist) {
		return config.Default(), nil
	}
	return config.Load(defaultConfigFile)
}

func printConfig(p *process, cfg *config.Config) error {
	out, err := cfg.YAML()
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(out)
	return err
}
