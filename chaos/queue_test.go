package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The checker of queues sees what it is to see.
func TestCheckQueue(t *testing.T) {
	a, b := place{0, 1}, place{0, 2}
	jobs := &finalLog{records: []record{{a, `"a"`}, {b, `"b"`}}}
	kinds := func(change func(*queue), dead ...record) (list []string) {
		q := newQueues()[0]
		q.order = "key"
		for _, at := range []place{a, b} {
			q.acked[at], q.tried[at] = 1, true
			q.given[at] = []given{{count: 1, deadline: ackWait + at.offset, key: "0 k"}}
		}
		if change != nil {
			change(q)
		}
		for _, v := range checkQueue(q, jobs, &finalLog{records: dead}) {
			list = append(list, v.Kind)
		}
		return list
	}
	assert.Empty(t, kinds(nil))
	assert.Equal(t, []string{"skipped"}, kinds(func(q *queue) { delete(q.acked, a); delete(q.tried, a) }))
	assert.Empty(t, kinds(func(q *queue) { delete(q.acked, a); delete(q.tried, a) }, record{place{}, `"a"`}))
	assert.Equal(t, []string{"given again"}, kinds(nil, record{place{}, `"a"`}))
	assert.Equal(t, []string{"duplicate"}, kinds(func(q *queue) { delete(q.acked, a) }, record{place{}, `"a"`}, record{place{}, `"a"`}))
	assert.Equal(t, []string{"phantom"}, kinds(nil, record{place{}, `"c"`}))
	again := func(g given) func(q *queue) {
		return func(q *queue) { q.given[b] = append([]given{g}, q.given[b]...) }
	}
	assert.Empty(t, kinds(again(given{count: 2, deadline: 2*ackWait + 2})), "answers may come late")
	assert.Equal(t, []string{"two workers"}, kinds(again(given{count: 2, deadline: 2*ackWait + 1})))
	assert.Equal(t, []string{"two workers"}, kinds(again(given{count: 1, deadline: ackWait + 2})))
	assert.Empty(t, kinds(func(q *queue) {
		q.given[b][0].returned = true
		again(given{count: 2, deadline: ackWait + 3})(q)
	}))
	assert.Equal(t, []string{"order"}, kinds(func(q *queue) { q.given[b][0].deadline = ackWait }))
}
