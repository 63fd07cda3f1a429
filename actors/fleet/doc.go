// Package fleet is the fleet that a node belongs to, as the node sees it. Which nodes
// there are, and where the brokers of the clusters are, is decided in the fleet's
// metadata: that of a cluster that nobody else sees (catalog.FleetName), whose brokers
// are nodes. The package asks for changes of it and describes it; the actor of the
// metadata, and that of the node, which makes what runs there what the metadata says,
// stand above it.
package fleet
