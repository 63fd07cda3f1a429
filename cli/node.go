package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ottla/certs"
)

func newNode(p *process) *cobra.Command {
	return family("node", "Work with the nodes of a fleet", newNodeCert(p))
}

// Days that certificates are valid.
const (
	authorityDays = 3650
	maxCertDays   = 3650
)

func newNodeCert(p *process) *cobra.Command {
	var (
		dir   string
		hosts []string
		days  int
	)
	cmd := &cobra.Command{
		Use:   "cert NAME...",
		Short: "Make certificates for the connections between nodes",
		Long: "Make a certificate and its key for each node: NAME.pem and NAME.key, where NAME is\n" +
			"the node's name (node.name, by default its host name). The fleet's authority, ca.pem\n" +
			"and ca.key, is used if it is in DIR, else it is made first, for ten years. Files that\n" +
			"exist are never replaced: move them away to make new ones.\n\n" +
			"Each node needs its own two files and ca.pem. Whoever has ca.key can make further\n" +
			"nodes: keep it off the nodes, and keep it.",
		Example: "  ottla node cert node-1 node-2 node-3\n  ottla node cert node-4 --dir /safe/ottla --days 365",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("a NAME is missing")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, names []string) error {
			if days < 1 || days > maxCertDays {
				return usageError{fmt.Errorf("--days %d must be from 1 to %d", days, maxCertDays)}
			}
			return makeCerts(p, dir, names, hosts, time.Duration(days)*24*time.Hour)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "certs", "`DIR` of the authority and of the new files; made if it does not exist")
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "further `HOSTS`, names or addresses, that the certificates are for")
	cmd.Flags().IntVar(&days, "days", 1825, "days that the nodes' certificates are valid, at most as long as the authority's")
	return cmd
}

func makeCerts(p *process, dir string, names, hosts []string, valid time.Duration) error {
	ca, err := certs.OpenAuthority(dir, authorityDays*24*time.Hour)
	if err != nil {
		return err
	}
	if ca.Made() {
		fmt.Fprintf(p.stdout, "%s/%s: a new authority, until %s; its key is %s/%s\n",
			dir, certs.AuthorityCert, ca.Until().Format(time.DateOnly), dir, certs.AuthorityKey)
	}
	for _, name := range names {
		files, err := ca.Issue(name, hosts, valid)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s with %s\n", files.Cert, files.Key)
	}
	return nil
}
