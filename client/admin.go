package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ottla/protocol"
)

// ClusterSpec describes a cluster to create. Zero fields mean the server's
// defaults.
type ClusterSpec struct {
	Name              string  `json:"name"`
	NumBrokers        int     `json:"num_brokers,omitempty"`
	LogDirectory      string  `json:"log_directory,omitempty"`
	Partitions        int     `json:"partitions,omitempty"`         // default of its topics
	RetentionHours    float64 `json:"retention_policies,omitempty"` // -1: for ever
	ReplicationFactor int     `json:"replication_factor,omitempty"`
	Fsync             string  `json:"fsync,omitempty"` // "always" or "interval"
}

// TopicSpec describes a topic to create. Zero fields mean the server's defaults.
type TopicSpec struct {
	Name              string `json:"name"`
	Cluster           string `json:"cluster,omitempty"`
	Partitions        int    `json:"partitions,omitempty"`
	ReplicationFactor int    `json:"replication_factor,omitempty"`
	RetentionMs       int64  `json:"retention_ms,omitempty"`
	RetentionBytes    int64  `json:"retention_bytes,omitempty"`
	SegmentBytes      int64  `json:"segment_bytes,omitempty"`
	CleanupPolicy     string `json:"cleanup_policy,omitempty"` // "delete" or "compact"
	MaxRecordBytes    int    `json:"max_record_bytes,omitempty"`
}

// CreateCluster creates a cluster, or returns the existing one if it has the same
// settings.
func (c *Client) CreateCluster(ctx context.Context, spec ClusterSpec) (*protocol.ClusterInfo, error) {
	info := &protocol.ClusterInfo{}
	return info, c.call(ctx, http.MethodPost, "/cluster", nil, spec, info)
}

// Clusters lists all clusters.
func (c *Client) Clusters(ctx context.Context) ([]protocol.ClusterInfo, error) {
	var reply struct{ Clusters []protocol.ClusterInfo }
	err := c.call(ctx, http.MethodGet, "/cluster", nil, nil, &reply)
	return reply.Clusters, err
}

// DeleteCluster deletes a cluster with everything in it.
func (c *Client) DeleteCluster(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/cluster/"+url.PathEscape(name), nil, nil, nil)
}

// StopBroker stops one broker of a cluster. Where possible, leadership moves to
// other brokers first.
func (c *Client) StopBroker(ctx context.Context, cluster string, broker int) error {
	return c.brokerCall(ctx, cluster, broker, "stop")
}

// StartBroker starts a stopped broker. It returns when every partition that
// has a majority has a leader.
func (c *Client) StartBroker(ctx context.Context, cluster string, broker int) error {
	return c.brokerCall(ctx, cluster, broker, "start")
}

func (c *Client) brokerCall(ctx context.Context, cluster string, broker int, what string) error {
	path := "/cluster/" + url.PathEscape(cluster) + "/brokers/" + strconv.Itoa(broker) + "/" + what
	return c.call(ctx, http.MethodPost, path, nil, nil, nil)
}

// CreateTopic creates a topic, or returns the existing one if it has the same
// settings.
func (c *Client) CreateTopic(ctx context.Context, spec TopicSpec) (*protocol.TopicInfo, error) {
	info := &protocol.TopicInfo{}
	return info, c.call(ctx, http.MethodPost, "/topic", nil, spec, info)
}

// Topic describes a topic. cluster may be empty if only one cluster has the topic.
func (c *Client) Topic(ctx context.Context, cluster, name string) (*protocol.TopicInfo, error) {
	info := &protocol.TopicInfo{}
	return info, c.call(ctx, http.MethodGet, "/topic/"+url.PathEscape(name), inCluster(cluster), nil, info)
}

// Topics lists the topics of a cluster, or of all clusters if cluster is empty.
func (c *Client) Topics(ctx context.Context, cluster string) ([]protocol.TopicInfo, error) {
	var all []protocol.TopicInfo
	q := inCluster(cluster)
	for q.Set("limit", strconv.Itoa(listPage)); ; {
		var reply struct {
			Topics []protocol.TopicInfo
			Next   string
		}
		err := c.call(ctx, http.MethodGet, "/topic", q, nil, &reply)
		var refused *Error
		if errors.As(err, &refused) && refused.Code == protocol.CodeUnknownParameter.Name { // a server that has no pages
			q.Del("limit")
			continue
		}
		if all = append(all, reply.Topics...); err != nil || reply.Next == "" {
			return all, err
		}
		q.Set("after", reply.Next)
	}
}

// listPage is how many rows of a list are asked for at once.
const listPage = 1000

// DeleteTopic deletes a topic with its records.
func (c *Client) DeleteTopic(ctx context.Context, cluster, name string) error {
	return c.call(ctx, http.MethodDelete, "/topic/"+url.PathEscape(name), inCluster(cluster), nil, nil)
}

// Group describes a consumer group.
func (c *Client) Group(ctx context.Context, cluster, group string) (*protocol.GroupInfo, error) {
	info := &protocol.GroupInfo{}
	return info, c.call(ctx, http.MethodGet, "/groups/"+url.PathEscape(group), inCluster(cluster), nil, info)
}

// DeleteGroup deletes a group without live members, and its offsets.
func (c *Client) DeleteGroup(ctx context.Context, cluster, group string) error {
	return c.call(ctx, http.MethodDelete, "/groups/"+url.PathEscape(group), inCluster(cluster), nil, nil)
}

// LeaveGroup removes a member from its group, so that its partitions move to
// others at once.
func (c *Client) LeaveGroup(ctx context.Context, cluster, group string, consumerID int64) error {
	path := "/groups/" + url.PathEscape(group) + "/members/" + strconv.FormatInt(consumerID, 10)
	return c.call(ctx, http.MethodDelete, path, inCluster(cluster), nil, nil)
}

// Heartbeat renews the lease of a member that works on records, so that it keeps
// its partitions without a poll. With session above 0 the lease lasts that long from
// now on, until a poll says otherwise. A [Consumer] does it by itself. Errors:
// unknown_member (poll to join again).
func (c *Client) Heartbeat(ctx context.Context, cluster, group string, consumerID int64, session time.Duration) (*protocol.HeartbeatReply, error) {
	body := struct {
		SessionTimeoutMs int64 `json:"session_timeout_ms,omitempty"`
	}{session.Milliseconds()}
	path := "/groups/" + url.PathEscape(group) + "/members/" + strconv.FormatInt(consumerID, 10) + "/heartbeat"
	reply := &protocol.HeartbeatReply{}
	return reply, c.call(ctx, http.MethodPost, path, inCluster(cluster), body, reply)
}

// Offsets lists the offsets of a group, for one topic or, if topic is empty, for
// all.
func (c *Client) Offsets(ctx context.Context, cluster, group, topic string) ([]protocol.OffsetInfo, error) {
	q := inCluster(cluster)
	q.Set("group", group)
	setQuery(q, "topic", topic)
	var reply struct{ Offsets []protocol.OffsetInfo }
	err := c.call(ctx, http.MethodGet, "/offset", q, nil, &reply)
	return reply.Offsets, err
}

// PartitionOffset is a position in a partition: the offset of the next record to
// read.
type PartitionOffset struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
}

// CommitOffsets commits offsets of a group, as the member that owns the
// partitions; if it does not own them, the error is stale_generation. An offset
// before the committed one is refused. A [Consumer] commits without it.
func (c *Client) CommitOffsets(ctx context.Context, cluster, group string, consumerID int64, offsets []PartitionOffset) error {
	body := struct {
		Cluster    string            `json:"cluster,omitempty"`
		Group      string            `json:"group"`
		ConsumerID int64             `json:"consumer_id"`
		Offsets    []PartitionOffset `json:"offsets"`
	}{cluster, group, consumerID, offsets}
	return c.call(ctx, http.MethodPost, "/offset", nil, body, nil)
}

// Ready returns nil once the server has a leader for every partition.
func (c *Client) Ready(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/readyz", nil, nil, nil)
}

func inCluster(cluster string) url.Values {
	q := url.Values{}
	setQuery(q, "cluster", cluster)
	return q
}
