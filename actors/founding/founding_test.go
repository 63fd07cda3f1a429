package founding

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/link"
	"ottla/protocol"
)

// world is machines by address, of which some run.
type world struct {
	t       *testing.T
	dir     string
	seeds   []string
	running map[string]*Joiner
	uuids   int
	joined  map[string]map[string]uint64 // by fleet: numbers of those that have joined, by uuid
}

func newWorld(t *testing.T, nodes int) *world {
	w := &world{t: t, dir: t.TempDir(), running: map[string]*Joiner{}, joined: map[string]map[string]uint64{}}
	for i := range nodes {
		w.seeds = append(w.seeds, fmt.Sprintf("10.0.0.%d:7070", i+1))
		require.NoError(t, os.MkdirAll(w.dataDir(w.seeds[i]), 0o755))
	}
	return w
}

func (w *world) dataDir(address string) string { return filepath.Join(w.dir, address) }

// place is what a machine's disk says, nil if nothing.
func (w *world) place(address string) *datadir.Node {
	n, err := datadir.ReadNode(w.dataDir(address))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(w.t, err)
	return n
}

func (w *world) start(address, name string, seeds []string) *Joiner {
	uuid, err := datadir.NodeUUID(w.dataDir(address), func() string { w.uuids++; return fmt.Sprintf("uuid-%d", w.uuids) })
	require.NoError(w.t, err)
	j := New(Options{
		DataDir: w.dataDir(address), Seeds: seeds, Self: catalog.FleetNode{UUID: uuid, Name: name, Link: address},
		Node: w.place(address), Log: slog.New(slog.DiscardHandler), Now: time.Now, Waiting: func(string) {},
		Enter: func(n catalog.FleetNode, _ int) (uint64, []catalog.FleetNode, *protocol.Error) {
			return w.enter(address, n)
		},
	})
	j.link = w
	w.running[address] = j
	return j
}

// enter joins a node if a majority of the founders of the fleet runs.
func (w *world) enter(by string, n catalog.FleetNode) (uint64, []catalog.FleetNode, *protocol.Error) {
	f := w.place(by).Founding
	if w.founders(&f, true) <= len(f.Founders)/2 {
		return 0, nil, protocol.Errorf(protocol.CodeNotEnoughReplicas, "no majority")
	}
	ids := w.joined[f.Fleet]
	if ids == nil {
		ids = map[string]uint64{}
		w.joined[f.Fleet] = ids
	}
	if ids[n.UUID] == 0 {
		ids[n.UUID] = uint64(len(f.Founders) + len(ids) + 1)
	}
	return ids[n.UUID], nil, nil
}

// founders counts the founders of a fleet that still have it on disk, and run if need be.
func (w *world) founders(f *datadir.Founding, run bool) (count int) {
	for _, founder := range f.Founders {
		n := w.place(founder.Link)
		if n != nil && n.Fleet == f.Fleet && n.UUID == founder.UUID && (!run || w.running[founder.Link] != nil) {
			count++
		}
	}
	return count
}

// CallAddress implements Asker.
func (w *world) CallAddress(address string, kind uint16, _ time.Time, done func(link.Identity, []byte, error), parts ...[]byte) {
	j := w.running[address]
	if j == nil {
		done(link.Identity{}, nil, errors.New("connection refused"))
		return
	}
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	j.Answer(kind, 0, body, func(body []byte, err error) { done(link.Identity{}, body, err) })
}

func (w *world) try(address string) error {
	j := w.running[address]
	if j.node != nil {
		return nil
	}
	_, _, err := j.try(context.Background(), j.others())
	return err
}

// fleets are the ids of the fleets of which a majority of founders has them on disk.
func (w *world) fleets() map[string]bool {
	alive := map[string]bool{}
	for _, s := range w.seeds {
		if n := w.place(s); n != nil && w.founders(&n.Founding, false) > len(n.Founding.Founders)/2 {
			alive[n.Fleet] = true
		}
	}
	return alive
}

// In whatever order nodes start, are killed, and one of them loses its disk: there is one
// fleet or none, never two, and in the end all belong to it.
func TestOneFleetOrNone(t *testing.T) {
	for seed := range uint64(60) { // 300 have passed
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t, 2+r.IntN(3))
			wipes := 0
			if len(w.seeds) > 2 {
				wipes = 1
			}
			for range 60 {
				a := w.seeds[r.IntN(len(w.seeds))]
				switch what := r.IntN(10); {
				case w.running[a] == nil:
					w.start(a, a, w.seeds)
				case what == 0:
					delete(w.running, a)
				case what == 1 && wipes > 0:
					wipes--
					delete(w.running, a)
					require.NoError(t, os.RemoveAll(w.dataDir(a)))
					require.NoError(t, os.MkdirAll(w.dataDir(a), 0o755))
				default:
					_ = w.try(a)
				}
				require.LessOrEqual(t, len(w.fleets()), 1, "two fleets")
			}
			for range 10 {
				for _, a := range w.seeds {
					if w.running[a] == nil {
						w.start(a, a, w.seeds)
					}
					_ = w.try(a)
				}
			}
			require.Len(t, w.fleets(), 1)
			ids := map[uint64]bool{}
			for _, a := range w.seeds {
				n := w.place(a)
				require.NotNil(t, n, "%s belongs to nothing", a)
				require.True(t, w.fleets()[n.Fleet], "%s belongs to another fleet", a)
				require.False(t, ids[n.Node], "number %d twice", n.Node)
				ids[n.Node] = true
			}
		})
	}
}

func TestWhoFoundsNothing(t *testing.T) {
	w := newWorld(t, 3)
	a, b, c := w.seeds[0], w.seeds[1], w.seeds[2]
	w.start(a, "a", w.seeds)
	require.ErrorContains(t, w.try(a), "connection refused", "not all are there")
	w.start(b, "b", w.seeds)
	w.start(c, "c", w.seeds[:2])
	require.ErrorContains(t, w.try(a), "other seeds than this node")
	require.ErrorContains(t, w.try(c), "is none of the seeds")
	w.start(c, "b", w.seeds)
	err := w.try(a)
	var wrong *wrongSeedsError
	require.ErrorAs(t, err, &wrong)
	assert.ErrorContains(t, err, "the same name (b)")
	w.start(c, "c", w.seeds)
	require.ErrorContains(t, w.try(b), "waiting for "+a)
	assert.Nil(t, w.place(b))
	require.NoError(t, w.try(a))
	require.NoError(t, w.try(b))
	assert.Equal(t, w.place(a).Founding, w.place(b).Founding)
	assert.EqualValues(t, 2, w.place(b).Node)
}

func TestFindRefusesWhatCannotBe(t *testing.T) {
	w := newWorld(t, 3)
	_, _, err := w.start(w.seeds[0], "a", w.seeds).Find(w, false)
	require.ErrorContains(t, err, "a node with data")
	many := append([]string{}, w.seeds...)
	for i := range maxFounders {
		many = append(many, fmt.Sprintf("10.0.1.%d:1", i))
	}
	_, _, err = w.start(w.seeds[0], "a", many).Find(w, true)
	require.ErrorContains(t, err, "at most 9")
	n, _, err := w.start(w.seeds[0], "a", nil).Find(w, false)
	require.NoError(t, err, "alone, with what it has")
	assert.EqualValues(t, 1, n.Node)
}
