package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A poll that reads on from its cursor while a partition moves to another
// member is answered with a cursor that covers the others only. What the member
// had been given of that partition is not committed with it.
func TestCursorOfANewGenerationCoversWhatTheMemberHolds(t *testing.T) {
	const given, carriedOn, acknowledged = 1, 2, 3
	state, offset, committed := given, int64(0), int64(0)
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case state == given && r.FormValue("after") != "":
			state = carriedOn
		case state == given && r.FormValue("ack") != "":
			committed = offset
		case r.FormValue("ack") != "":
			state = acknowledged
		}
		records := ""
		if state == given {
			records = fmt.Sprintf(`{"partition":1,"offset":%d,"value":"v%d"}`, offset, offset)
			offset++
		}
		fmt.Fprintf(w, `{"generation":%d,"cursor":"c","records":[%s]}`, state, records)
	}))
	defer broker.Close()
	w := &world{rec: newRecorder(), s: &server{addr: strings.TrimPrefix(broker.URL, "http://")}}
	m := newMember(w, &group{"g", mainTopic, byAck, false}, 1, 1)
	w.rec.offsets.Commit("the broker", m.g.register(1), 0).Acked()
	for state != acknowledged {
		m.poll(context.Background())
	}
	require.Less(t, committed, offset)
	w.rec.offsets.Read("2", m.g.register(1)).Returned(committed)
	require.Empty(t, checkOffsets(w.rec.offsets))
	require.Empty(t, w.rec.h.violations)
}
