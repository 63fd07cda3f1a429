package front

import (
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

const (
	// rateInterval is how often traffic is added up. What a topic had since then is
	// lost when it is deleted.
	rateInterval = 5 * time.Second
	// rateMinutes is how many minutes are kept, and the one under way.
	rateMinutes = 60
)

// rates adds up what clients write and read, minute by minute, over the last hour.
// Its memory is bounded by that, and by the number of topics.
type rates struct {
	mu      sync.Mutex
	seen    map[string]protocol.Traffic // of each topic, by id, at the last look
	total   protocol.Traffic            // of all topics that there have been
	ring    [rateMinutes + 1]minute     // by minute, modulo its length
	started time.Time                   // of the first look
}

// minute is the traffic of one minute.
type minute struct {
	number  int64 // since 1970
	traffic protocol.Traffic
}

// KeepRates adds up traffic for Overview until the process ends.
func (st *statusService) KeepRates() {
	ticker := time.NewTicker(rateInterval)
	defer ticker.Stop()
	for {
		st.rates.look(st.directory.Clusters(), st.opt.Now())
		select {
		case <-ticker.C:
		case <-st.stopped:
			return
		}
	}
}

// look adds what clients did since the last look to the minute of now.
func (r *rates) look(clusters map[string]*routing.Cluster, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[string]protocol.Traffic, len(r.seen))
	var since protocol.Traffic
	for _, c := range clusters {
		table := c.Table()
		if table == nil {
			continue
		}
		for _, t := range table.Topics {
			if protocol.IsInternalTopic(t.Name) {
				continue
			}
			is := trafficOf(t)
			before := r.seen[t.ID]
			seen[t.ID] = is
			since.ProducedRecords += grown(is.ProducedRecords, before.ProducedRecords)
			since.ProducedBytes += grown(is.ProducedBytes, before.ProducedBytes)
			since.FetchedRecords += grown(is.FetchedRecords, before.FetchedRecords)
			since.FetchedBytes += grown(is.FetchedBytes, before.FetchedBytes)
		}
	}
	r.seen = seen
	if r.started.IsZero() {
		r.started = now
	}
	addTraffic(&r.total, since)
	addTraffic(&r.at(now.Unix()/60).traffic, since)
}

// grown is by how much a counter has grown; it begins anew when its topic's actor
// was replaced.
func grown(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// trafficOf reads a topic's counters, which go on while they are read.
func trafficOf(t *protocol.Topic) (sum protocol.Traffic) {
	for _, p := range routing.Of(t).Partitions {
		s := &p.Stats
		sum.ProducedRecords += s.ProducedRecords.Load()
		sum.ProducedBytes += s.ProducedBytes.Load()
		sum.FetchedRecords += s.FetchedRecords.Load()
		sum.FetchedBytes += s.FetchedBytes.Load()
	}
	return sum
}

// addTraffic adds t to sum.
func addTraffic(sum *protocol.Traffic, t protocol.Traffic) {
	sum.ProducedRecords += t.ProducedRecords
	sum.ProducedBytes += t.ProducedBytes
	sum.FetchedRecords += t.FetchedRecords
	sum.FetchedBytes += t.FetchedBytes
}

// at is the slot of a minute.
func (r *rates) at(number int64) *minute {
	m := &r.ring[number%int64(len(r.ring))]
	if m.number != number {
		*m = minute{number: number}
	}
	return m
}

// last returns the means of the last hour, or since the first look.
func (r *rates) last(now time.Time) (total protocol.Traffic, list []protocol.Rate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	current := now.Unix() / 60
	list = []protocol.Rate{}
	for number := max(current-rateMinutes, r.started.Unix()/60); number <= current; number++ {
		var t protocol.Traffic
		if m := &r.ring[number%int64(len(r.ring))]; m.number == number {
			t = m.traffic
		}
		began, ended := time.Unix(number*60, 0), time.Unix(number*60+60, 0)
		if began.Before(r.started) {
			began = r.started
		}
		if ended.After(now) {
			ended = now
		}
		seconds := max(1, ended.Sub(began).Seconds())
		list = append(list, protocol.Rate{
			Timestamp:       number * 60_000,
			ProducedRecords: perSecond(t.ProducedRecords, seconds), ProducedBytes: perSecond(t.ProducedBytes, seconds),
			FetchedRecords: perSecond(t.FetchedRecords, seconds), FetchedBytes: perSecond(t.FetchedBytes, seconds),
		})
	}
	return r.total, list
}

// perSecond is a rate with two digits behind the point.
func perSecond(n uint64, seconds float64) float64 {
	return float64(int64(float64(n)/seconds*100+0.5)) / 100
}
