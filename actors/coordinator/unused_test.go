package coordinator

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/metarecord"
)

// Groups have an hour to be used again when somebody else begins to lead, and a day where
// all of them seem to be unused: a process that starts with a clock that is years ahead
// would delete them all.
func TestWhenUnusedGroupsAreLookedFor(t *testing.T) {
	const lastUse = int64(1_800_000_000_000)
	for name, row := range map[string]struct {
		ahead, from time.Duration
	}{
		"used lately":            {time.Minute, time.Hour},
		"used a day ago":         {24*time.Hour - 2*time.Second, time.Hour},
		"a clock that is ahead":  {4 * 365 * 24 * time.Hour, 24 * time.Hour},
		"a clock that is behind": {-4 * 365 * 24 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			now := lastUse + row.ahead.Milliseconds()
			c := &Coordinator{groups: map[string]*group.Kept{}, env: &Env{
				OffsetsRetention: 7 * 24 * time.Hour, Ticks: func(d time.Duration) int { return int(d / time.Second) }, Wall: func() int64 { return now },
			}}
			for i := range int64(3) {
				kept := &group.Kept{}
				kept.Set(metarecord.Record{Action: "COMMIT", Key: []byte(fmt.Sprint(i)), Value: []byte(fmt.Sprintf(`{"v":1,"at":%d}`, lastUse-i*1000))})
				c.groups[fmt.Sprint(i)] = kept
			}
			first := time.Duration(0)
			for ticks := 1; ticks <= 25*60*60; ticks++ {
				now += 1000
				if c.expiryDue() {
					first = time.Duration(ticks) * time.Second
					break
				}
			}
			assert.Equal(t, row.from, first)
		})
	}
}

// The group of a subscription that is paused for long does not expire: it goes on where it
// was.
func TestGroupsOfSubscriptionsDoNotExpire(t *testing.T) {
	_, lapsed := memberships(t)
	p := newCoordinatorProbe(t, nil, nil)
	p.inside(func(ctx actor.Context) {
		for _, name := range []string{"a", "b"} {
			p.c.keep([]byte(name), metarecord.Record{Action: lapsed[0].Action, Key: metarecord.Key("g", name), Value: lapsed[0].Value})
		}
		later := func() int64 { return time.Now().Add(10 * 24 * time.Hour).UnixMilli() }
		p.c.env.Wall, p.c.env.Steady, p.c.env.OffsetsRetention = later, later, 7*24*time.Hour
		p.c.env.Kept = func(clusterID, group string) bool { return clusterID == "c" && group == "a" }
		p.c.expireGroups(ctx)
		assert.Nil(t, p.c.running["a"])
	})
	select {
	case rec := <-p.committed:
		assert.Equal(t, "EXPIRE_GROUP", rec.Action)
		assert.Contains(t, string(rec.Key), `"b"`)
	case <-time.After(patience):
		require.Fail(t, "the other one does not expire")
	}
	p.inside(func(actor.Context) {})
	assert.Empty(t, p.committed)
}
