package cli

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

func newFleet(p *process) *cobra.Command {
	r := &remote{p: p}
	describe := &cobra.Command{
		Use: "describe", Short: "Show which versions the nodes run, and at which level the fleet is", Args: noArgs,
		Example: "  ottla fleet describe",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.get(cmd, path("fleet"), nil, table(describeFleet))
		},
	}
	finalize := &cobra.Command{
		Use: "finalize", Short: "Raise the fleet's level, at the end of an upgrade", Args: noArgs,
		Long: "Raise the fleet's level to what the programs of all nodes go up to. What is new can be\n" +
			"used from then on, and older versions cannot be started on these nodes any more. It\n" +
			"happens by itself unless node.finalize is manual at a node. It is refused while a node\n" +
			"is not heard of, or runs an older version.",
		Example: "  ottla fleet finalize",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.send(cmd, request{method: http.MethodPost, path: path("fleet", "finalize")}, table(describeFleet))
		},
	}
	r.addFlags(describe)
	r.addFlags(finalize)
	return family("fleet", "Work with a fleet of nodes as a whole", describe, finalize)
}

func describeFleet(f *protocol.FleetInfo) [][]string {
	versions := make([]string, 0, len(f.Versions))
	for _, v := range slices.Sorted(maps.Keys(f.Versions)) {
		versions = append(versions, fmt.Sprintf("%s (%s)", v, count(f.Versions[v], "node")))
	}
	next := "all that this version can"
	switch {
	case f.WaitingFor != "":
		next = "waits: " + f.WaitingFor
	case f.Offered > f.Level && f.Held:
		next = "held; ottla fleet finalize raises it to " + strconv.Itoa(f.Offered)
	case f.Offered > f.Level:
		next = "is about to be raised to " + strconv.Itoa(f.Offered)
	}
	return [][]string{
		{"fleet", f.ID},
		{"nodes", strconv.Itoa(f.Nodes)},
		{"versions", strings.Join(versions, ", ")},
		{"level", strconv.Itoa(f.Level)},
		{"offered", strconv.Itoa(f.Offered)},
		{"raised", next},
	}
}
