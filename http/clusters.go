package http

import (
	"context"
	"math"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

func postCluster(c *call) *protocol.Error {
	spec := &protocol.ClusterSpec{}
	err := c.bindBody(
		binding{name: "name", required: true, set: setName(&spec.Name)},
		binding{name: "num_brokers", set: setOptionalInteger(&spec.NumBrokers, 1, 9, permitted)},
		binding{name: "log_directory", set: setOptionalText(&spec.LogDirectory)},
		binding{name: "partitions", set: setOptionalInteger(&spec.Partitions, 1, 1024, permitted)},
		binding{name: "retention_policies", set: setHours(&spec.RetentionHours)},
		binding{name: "replication_factor", set: setOptionalInteger(&spec.ReplicationFactor, 1, 9, permitted)},
		binding{name: "fsync", set: setOneOf(&spec.Fsync, "always", "interval")})
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	info, created, err := c.b.CreateCluster(ctx, spec)
	if err != nil {
		return err
	}
	info.Brokers = orEmpty(info.Brokers)
	return c.sendCreated(created, info)
}

func getClusters(c *call) *protocol.Error {
	var p page
	if err := c.bindQuery(p.bindings()...); err != nil {
		return err
	}
	clusters, err := c.b.Clusters()
	if err != nil {
		return err
	}
	for i := range clusters {
		clusters[i].Brokers = orEmpty(clusters[i].Brokers)
	}
	return sendList(c, &p, "clusters", clusters, func(r *protocol.ClusterInfo) string { return r.Name })
}

func getCluster(c *call) *protocol.Error {
	cluster, err := c.clusterOf()
	if err != nil {
		return err
	}
	detail, err := c.b.Cluster(cluster)
	if err != nil {
		return err
	}
	detail.Brokers, detail.Topics = orEmpty(detail.Brokers), orEmpty(detail.Topics)
	for i := range detail.Topics {
		fillTopic(&detail.Topics[i])
	}
	return c.sendJSON(fasthttp.StatusOK, detail)
}

// patchCluster changes the number of brokers.
func patchCluster(c *call) *protocol.Error {
	cluster, err := c.clusterOf()
	if err != nil {
		return err
	}
	var brokers int64
	if err := c.bindRequired([]binding{{name: "num_brokers", required: true, set: setInteger(&brokers, 1, maxNode, atLeast)}}); err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	task, err := c.b.ResizeCluster(ctx, cluster, int(brokers))
	switch {
	case err != nil:
		return err
	case task != nil:
		return c.sendJSON(fasthttp.StatusAccepted, task)
	}
	return getCluster(c)
}

func deleteCluster(c *call) *protocol.Error {
	cluster, err := c.clusterOf()
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	if err := c.b.DeleteCluster(ctx, cluster); err != nil {
		return err
	}
	c.sendNothing()
	return nil
}

func stopBroker(c *call) *protocol.Error  { return switchBroker(c, c.b.StopBroker) }
func startBroker(c *call) *protocol.Error { return switchBroker(c, c.b.StartBroker) }

// switchBroker stops or starts the broker in the path. The body may be empty or
// an empty object.
func switchBroker(c *call, do func(context.Context, string, int) (*protocol.BrokerInfo, *protocol.Error)) *protocol.Error {
	cluster, err := c.clusterOf()
	if err != nil {
		return err
	}
	if len(c.body) > 0 {
		if err := bindJSON(c.body, nil); err != nil {
			return err
		}
	}
	n, _, ok := protocol.ParseInteger([]byte(c.param("broker")))
	if !ok {
		return invalid("broker", "must be an integer")
	}
	if n < 1 || n > math.MaxInt32 {
		return protocol.Errorf(protocol.CodeBrokerNotFound, "cluster %q has no broker %.20s", cluster, c.param("broker"))
	}
	ctx, cancel := c.timeout()
	defer cancel()
	info, err := do(ctx, cluster, int(n))
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, info)
}
