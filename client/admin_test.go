package client_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

func TestAdministrationAsksForTheRightThings(t *testing.T) {
	for want, do := range map[string]func(context.Context, *client.Client) error{
		`POST /cluster {"name":"c","num_brokers":3,"fsync":"interval"}`: func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateCluster(ctx, client.ClusterSpec{Name: "c", NumBrokers: 3, Fsync: "interval"})
			return err
		},
		`GET /cluster `: func(ctx context.Context, c *client.Client) error {
			list, err := c.Clusters(ctx)
			assert.Len(t, list, 1)
			return err
		},
		`DELETE /cluster/c `: func(ctx context.Context, c *client.Client) error { return c.DeleteCluster(ctx, "c") },
		`POST /topic {"name":"t","cluster":"c","partitions":4}`: func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateTopic(ctx, client.TopicSpec{Name: "t", Cluster: "c", Partitions: 4})
			return err
		},
		`GET /topic/t `: func(ctx context.Context, c *client.Client) error {
			info, err := c.Topic(ctx, "", "t")
			assert.Equal(t, "x", info.Name)
			return err
		},
		`GET /topic?cluster=c&limit=1000 `: func(ctx context.Context, c *client.Client) error {
			list, err := c.Topics(ctx, "c")
			assert.Len(t, list, 2)
			return err
		},
		`DELETE /topic/t?cluster=c `: func(ctx context.Context, c *client.Client) error { return c.DeleteTopic(ctx, "c", "t") },
		`GET /groups/g `: func(ctx context.Context, c *client.Client) error {
			_, err := c.Group(ctx, "", "g")
			return err
		},
		`DELETE /groups/g `:                     func(ctx context.Context, c *client.Client) error { return c.DeleteGroup(ctx, "", "g") },
		`DELETE /groups/g/members/7?cluster=c `: func(ctx context.Context, c *client.Client) error { return c.LeaveGroup(ctx, "c", "g", 7) },
		`GET /offset?group=g&topic=t `: func(ctx context.Context, c *client.Client) error {
			list, err := c.Offsets(ctx, "", "g", "t")
			require.Len(t, list, 1)
			assert.Equal(t, 3, list[0].Partition)
			return err
		},
		`POST /offset {"cluster":"c","group":"g","consumer_id":7,"offsets":[{"topic":"t","partition":1,"offset":5}]}`: func(ctx context.Context, c *client.Client) error {
			return c.CommitOffsets(ctx, "c", "g", 7, []client.PartitionOffset{{Topic: "t", Partition: 1, Offset: 5}})
		},
		`POST /cluster/c/brokers/2/stop `:  func(ctx context.Context, c *client.Client) error { return c.StopBroker(ctx, "c", 2) },
		`POST /cluster/c/brokers/2/start `: func(ctx context.Context, c *client.Client) error { return c.StartBroker(ctx, "c", 2) },
		`GET /readyz `:                     func(ctx context.Context, c *client.Client) error { return c.Ready(ctx) },
	} {
		answer := `{"name":"x","clusters":[{"name":"x"}],"topics":[{"name":"x"},{"name":"y"}],"offsets":[{"partition":3}]}`
		if strings.Contains(want, "/groups/") { // whose topics are names
			answer = `{"group":"g","topics":["x"]}`
		}
		c, asked := answering(t, 200, answer)
		require.NoError(t, do(t.Context(), c), want)
		assert.Equal(t, want, *asked)
	}
}
