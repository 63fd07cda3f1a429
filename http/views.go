package http

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"ottla/protocol"
)

// The views show the broker's state as tables. The id of a row is stable, and
// unique within its view and cluster.

type brokerRow struct {
	ID        int       `json:"id"`
	Cluster   string    `json:"cluster"`
	Host      string    `json:"host"`
	Port      int       `json:"port"`
	CreatedAt time.Time `json:"created_at"`
}

func viewBrokers(c *call) *protocol.Error {
	var p page
	cluster, err := c.clusterList(&p)
	if err != nil {
		return err
	}
	clusters, err := c.b.Clusters()
	if err != nil {
		return err
	}
	rows, found := []brokerRow{}, cluster == ""
	for _, cl := range clusters {
		if cluster != "" && cl.Name != cluster {
			continue
		}
		found = true
		for _, b := range cl.Brokers {
			rows = append(rows, brokerRow{b.ID, cl.Name, b.Host, b.Port, b.CreatedAt})
		}
	}
	if !found {
		return protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", cluster)
	}
	return sendList(c, &p, "brokers", rows, func(r *brokerRow) string { return rowKey(r.Cluster, numberKey(r.ID)) })
}

type partitionRow struct {
	ID             string    `json:"id"`
	Cluster        string    `json:"cluster"`
	TopicID        string    `json:"topic_id"`
	Number         int       `json:"partition_number"`
	LeaderBrokerID *int      `json:"leader_broker_id"`
	Replicas       []int     `json:"replicas"`
	CreatedAt      time.Time `json:"created_at"`
}

func viewPartitions(c *call) *protocol.Error {
	var p page
	topics, err := listTopics(c, &p)
	if err != nil {
		return err
	}
	rows := []partitionRow{}
	for _, t := range topics {
		for _, p := range t.Partitions {
			rows = append(rows, partitionRow{
				fmt.Sprintf("%s-%d", t.ID, p.Number), t.Cluster, t.ID, p.Number,
				p.LeaderBrokerID, orEmpty(p.Replicas), t.CreatedAt,
			})
		}
	}
	return sendList(c, &p, "partitions", rows, func(r *partitionRow) string { return rowKey(r.Cluster, r.TopicID, numberKey(r.Number)) })
}

type producerRow struct {
	ID      string `json:"id"`
	Cluster string `json:"cluster"`
	Name    string `json:"name"`
}

// viewProducers lists the Producer-Ids. An Idempotency-Key is not a producer.
func viewProducers(c *call) *protocol.Error {
	var p page
	cluster, err := c.clusterList(&p)
	if err != nil {
		return err
	}
	producers, err := c.b.Producers(cluster)
	if err != nil {
		return err
	}
	rows := []producerRow{}
	for _, p := range producers {
		if !strings.HasPrefix(p.Name, keyPrefix) {
			rows = append(rows, producerRow{p.Name, p.Cluster, p.Name})
		}
	}
	return sendList(c, &p, "producers", rows, func(r *producerRow) string { return rowKey(r.Cluster, r.Name) })
}

type topicRow struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Cluster string `json:"cluster"`
}

func viewTopics(c *call) *protocol.Error {
	var p page
	topics, err := listTopics(c, &p)
	if err != nil {
		return err
	}
	rows := []topicRow{}
	for _, t := range topics {
		rows = append(rows, topicRow{t.ID, t.Name, t.Cluster})
	}
	return sendList(c, &p, "topics", rows, func(r *topicRow) string { return rowKey(r.Cluster, r.Name) })
}

type groupRow struct {
	ID        string               `json:"id"`
	Cluster   string               `json:"cluster"`
	GroupName string               `json:"group_name"`
	MemberID  *protocol.ConsumerID `json:"member_id"`
	TopicID   string               `json:"topic_id"`
	Partition int                  `json:"partition_number"`
	Offset    *protocol.Offset     `json:"offset"`
	CreatedAt time.Time            `json:"created_at"`
	topic     string
}

// key orders the rows of pages.
func (r *groupRow) key() string {
	return rowKey(r.Cluster, r.GroupName, r.topic, numberKey(r.Partition))
}

func viewConsumerGroups(c *call) *protocol.Error {
	var p page
	cluster, err := c.clusterList(&p)
	if err != nil {
		return err
	}
	rows, err := groupRows(c, cluster, &p)
	if err != nil {
		return err
	}
	return sendList(c, &p, "consumer_groups", rows, (*groupRow).key)
}

type commitmentRow struct {
	ID        string          `json:"id"`
	Cluster   string          `json:"cluster"`
	GroupID   string          `json:"consumer_group_id"`
	TopicID   string          `json:"topic_id"`
	Partition int             `json:"partition_number"`
	Offset    protocol.Offset `json:"offset"`
	CreatedAt time.Time       `json:"created_at"`
	key       string
}

func viewCommitments(c *call) *protocol.Error {
	var p page
	cluster, err := c.clusterList(&p)
	if err != nil {
		return err
	}
	groups, err := groupRows(c, cluster, &page{after: p.after}) // some have no offset
	if err != nil {
		return err
	}
	rows := []commitmentRow{}
	for _, g := range groups {
		if g.Offset != nil {
			rows = append(rows, commitmentRow{
				fmt.Sprintf("%s@%d", g.ID, *g.Offset), g.Cluster, g.ID, g.TopicID,
				g.Partition, *g.Offset, g.CreatedAt, g.key(),
			})
		}
	}
	return sendList(c, &p, "offset_commitments", rows, func(r *commitmentRow) string { return r.key })
}

// groupRows returns a row for each partition that a group owns or has an offset
// for: its owner, if any, and its committed offset, if any. It leaves out groups that a
// page does not reach.
func groupRows(c *call, cluster string, p *page) ([]groupRow, *protocol.Error) {
	groups, err := c.b.Groups(cluster)
	if err != nil {
		return nil, err
	}
	topics, err := c.b.Topics(cluster, true)
	if err != nil {
		return nil, err
	}
	ids := map[[2]string]string{}
	for _, t := range topics {
		ids[[2]string{t.Cluster, t.Name}] = t.ID
	}
	rows := []groupRow{}
	slices.SortFunc(groups, func(a, b protocol.GroupInfo) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Group, b.Group))
	})
	for _, g := range groups {
		if p.fullAt(len(rows)) {
			break
		}
		if p.passed(rowKey(g.Cluster, g.Group, "")) {
			continue
		}
		offsets, err := c.b.Offsets(&protocol.OffsetsRequest{Cluster: g.Cluster, Group: g.Group})
		if err != nil {
			if err.Code == protocol.CodeGroupNotFound || err.Code == protocol.CodeForbidden {
				continue // it was deleted in between, or may be changed but not read
			}
			return nil, err
		}
		for _, o := range offsets {
			row := groupRow{
				fmt.Sprintf("%s/%s-%d", g.Group, o.Topic, o.Partition), g.Cluster, g.Group,
				o.Owner, ids[[2]string{g.Cluster, o.Topic}], o.Partition, o.Committed, since(o, g), o.Topic,
			}
			if row.key() > p.after {
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// since returns when an offset was committed, or when its group began if none
// was.
func since(o protocol.OffsetInfo, g protocol.GroupInfo) time.Time {
	if o.Committed == nil {
		return g.CreatedAt
	}
	return o.CommittedAt
}
