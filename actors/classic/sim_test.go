package classic

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// simClient is a consumer as Kafka's are: it joins, syncs, and gives signs of life until
// it crashes. Its requests may be lost on the way, and so may the answers.
type simClient struct {
	name       string
	id         string
	generation int32
	assigned   string // "" until it has an assignment of this generation
	waits      bool
	wrote      int64 // when it asked last
	alive      bool
}

// TestGroupsSettleInSimulation has clients come, crash and leave at random: no two
// clients ever work in one generation with assignments of different leaders, and once
// nothing happens any more all that live have one.
func TestGroupsSettleInSimulation(t *testing.T) {
	seeds := 300
	if n, err := strconv.Atoi(os.Getenv("OTTLA_SIM_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		simulate(t, int64(seed))
	}
}

func simulate(t *testing.T, seed int64) {
	rnd := rand.New(rand.NewSource(seed))
	g := New()
	var clients []*simClient
	byGeneration := map[int32]string{}
	now, ids := int64(0), 0
	step := func(c *simClient, lossy bool) {
		lost := func() bool { return lossy && rnd.Intn(10) == 0 }
		if lost() {
			return
		}
		rejoin := func() { c.assigned, c.generation = "", -1 }
		switch {
		case c.waits && now-c.wrote < 20_000: // it gives up after a while
		case c.generation < 0 || c.waits:
			ids++
			req := request(c.id, "", fmt.Sprint(c.name, "-", ids))
			req.SessionMs, req.RebalanceMs = 5_000, 8_000
			c.waits, c.wrote = true, now
			dropped, asked := lost(), c.wrote
			g.Join(now, req, func(r JoinReply) {
				if dropped || c.wrote != asked {
					return
				}
				c.waits = false
				switch r.Code {
				case None:
					c.id, c.generation = r.Member, r.Generation
					if r.Leader == r.Member {
						shares := map[string][]byte{}
						for _, m := range r.Members {
							shares[m.ID] = []byte(fmt.Sprintf("%s@%d", r.Member, r.Generation))
						}
						c.sync(t, g, now, shares, dropped, byGeneration)
					}
				case UnknownMemberID:
					c.id = ""
				}
			})
		case c.assigned == "":
			c.sync(t, g, now, nil, lost(), byGeneration)
		default:
			switch g.Heartbeat(now, c.id, "", c.generation) {
			case None:
			case UnknownMemberID:
				c.id = ""
				rejoin()
			default:
				rejoin()
			}
		}
	}
	for range 600 {
		now += int64(rnd.Intn(800))
		g.Expire(now)
		switch n := rnd.Intn(20); {
		case n == 0 && len(clients) < 8:
			clients = append(clients, &simClient{name: fmt.Sprint("c", len(clients)), generation: -1, alive: true})
		case n == 1 && len(clients) > 0:
			c := clients[rnd.Intn(len(clients))]
			c.alive = !c.alive // crashed, or back with what it knew
		case n == 2 && len(clients) > 0:
			c := clients[rnd.Intn(len(clients))]
			if c.id != "" && c.alive {
				g.Leave(now, c.id, "")
				c.id, c.generation, c.assigned, c.waits = "", -1, "", false
			}
		default:
			for _, c := range clients {
				if c.alive && rnd.Intn(3) == 0 {
					step(c, true)
				}
			}
		}
	}
	for range 400 {
		now += 300
		g.Expire(now)
		for _, c := range clients {
			if c.alive {
				step(c, false)
			}
		}
	}
	live := 0
	for _, c := range clients {
		if c.alive {
			live++
			require.Equal(t, g.generation, c.generation, "seed %d: %s", seed, c.name)
			require.NotEmpty(t, c.assigned, "seed %d: %s", seed, c.name)
		}
	}
	require.Len(t, g.members, live, "seed %d", seed)
	if live > 0 {
		require.Equal(t, Stable, g.State(), "seed %d", seed)
	}
}

func (c *simClient) sync(t *testing.T, g *Group, now int64, shares map[string][]byte, dropped bool, byGeneration map[int32]string) {
	c.waits, c.wrote = true, now
	generation, asked := c.generation, now
	g.Sync(now, &SyncRequest{Member: c.id, Generation: c.generation, Assignments: shares}, func(r SyncReply) {
		if dropped || c.generation != generation || c.wrote != asked {
			return
		}
		c.waits = false
		switch r.Code {
		case None:
			c.assigned = string(r.Assignment)
			if c.assigned == "" {
				c.generation = -1 // of a leader that did not know it
				return
			}
			if before, known := byGeneration[generation]; known {
				require.Equal(t, before, c.assigned, "one leader assigns in a generation")
			}
			byGeneration[generation] = c.assigned
		case UnknownMemberID:
			c.id, c.generation = "", -1
		default:
			c.generation = -1
		}
	})
}
