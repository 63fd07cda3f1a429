package http

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// asClientsSee renders a record in the simplest way.
func asClientsSee(r *protocol.Record) string {
	field := func(name string, token []byte) string {
		switch protocol.KindOfToken(token) {
		case protocol.TokenNull:
			return fmt.Sprintf(`"%s":null`, name)
		case protocol.TokenText:
			return fmt.Sprintf(`"%s_text":%s`, name, token[1:])
		case protocol.TokenBytes:
			return fmt.Sprintf(`"%s_base64":%s`, name, token[1:])
		}
		return fmt.Sprintf(`"%s":%s`, name, token)
	}
	headers := "{}"
	if len(r.Headers) > 0 {
		headers = string(r.Headers)
	}
	return fmt.Sprintf(`{"topic":"%s","partition":%d,"offset":%d,"timestamp":%d,%s,%s,"headers":%s}`,
		r.Topic, r.Partition, r.Offset, r.Timestamp, field("key", r.Key), field("value", r.Value), headers)
}

func plainBody(t *testing.T, a answer) string {
	t.Helper()
	if a.header.Get("Content-Encoding") != "gzip" {
		return a.body
	}
	z, err := gzip.NewReader(strings.NewReader(a.body))
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(text)
}

func randomRecord(rnd *rand.Rand, topic string, partition, offset int) protocol.Record {
	token := func(size int) []byte {
		switch rnd.IntN(6) {
		case 0:
			return []byte("-")
		case 1:
			return protocol.AppendTextToken(nil, strings.Repeat(`ü"\`, size/4))
		case 2:
			return protocol.AppendBytesToken(nil, []byte(strings.Repeat("\xff\x00", size/3)))
		case 3:
			return []byte(`[1,2,{"a":null}]`)
		}
		return []byte(`"` + strings.Repeat("x", size) + `"`)
	}
	r := protocol.Record{
		Topic: topic, Partition: partition, Offset: protocol.Offset(offset), Timestamp: rnd.Int64N(maxTimestamp),
		Key: token(8), Value: token(rnd.IntN(300)),
	}
	switch rnd.IntN(20) {
	case 0:
		r.Headers = []byte(`{"h":"1","\u0041":"ü"}`)
	case 1:
		r.Value = token(rnd.IntN(200_000))
	case 2:
		r.Timestamp = 0
	}
	return r
}

// Whatever the records are and however many there are, the answer is the same as
// that of the simplest way, byte for byte.
func TestAnswersToTheByte(t *testing.T) {
	h := startTCP(t, Options{})
	rnd := rand.New(rand.NewPCG(5, 5))
	name := "t" + strings.Repeat("-", 199)
	h.b.add(name, 2)
	var all [2][]protocol.Record
	for p := range all {
		for i := range 300 {
			all[p] = append(all[p], randomRecord(rnd, name, p, i))
		}
	}
	h.b.mu.Lock()
	copy(h.b.topics[name].partitions, all[:])
	h.b.mu.Unlock()
	for _, n := range []int{1, 2, 17, 100, 300} {
		for _, encoding := range []string{"identity", "gzip"} {
			var want []string
			for i := range n {
				want = append(want, asClientsSee(&all[1][i]))
			}
			target := fmt.Sprintf("/topic/%s/partitions/1/records?offset=0&max_bytes=16777216&max_records=%d", name, n)
			a := h.do("GET", target, "", "Accept-Encoding", encoding)
			require.Equal(t, fmt.Sprintf(`{"records":[%s],"next_offset":%d,"high_watermark":300,"earliest":0}`,
				strings.Join(want, ","), n), plainBody(t, a), "%d records", n)
		}
	}
	a := h.do("GET", "/topic/"+name+"/partitions/1/records?offset=300", "")
	assert.Equal(t, `{"records":[],"next_offset":300,"high_watermark":300,"earliest":0}`, a.body)

	group := strings.Repeat("g", 200)
	var want []string
	for p := range all {
		for i := range all[p] {
			want = append(want, asClientsSee(&all[p][i]))
		}
	}
	a = h.do("GET", fmt.Sprintf("/events?topic=%s&group=%s&consumer_id=%d&max_bytes=16777216", name, group, int64(maxID)), "")
	require.Equal(t, fmt.Sprintf(`{"consumer_id":%d,"group":"%s","generation":1,"records":[%s],"cursor":"300","timed_out":false}`,
		int64(maxID), group, strings.Join(want, ",")), a.body)
}

// The buffer of an answer that its client reads slowly is not used for others
// before it was sent.
func TestSlowAnswersStayWhatTheyAre(t *testing.T) {
	h := startSmallBuffers(t, Options{})
	for i := range 4 {
		topic := fmt.Sprint("t", i)
		h.b.add(topic, 1)
		var log []protocol.Record
		for o := range 1000 {
			log = append(log, protocol.Record{
				Topic: topic, Offset: protocol.Offset(o), Key: []byte("-"), Value: []byte(`"` + strings.Repeat(fmt.Sprint(i), 400) + `"`),
			})
		}
		h.b.mu.Lock()
		h.b.topics[topic].partitions[0] = log
		h.b.mu.Unlock()
	}
	read := func(i, n int) string {
		return fmt.Sprintf("/topic/t%d/partitions/0/records?offset=0&max_bytes=16777216&max_records=%d", i%4, n)
	}
	want := func(i, n int) string {
		var list []string
		for o := range n {
			list = append(list, asClientsSee(&h.b.topics[fmt.Sprint("t", i%4)].partitions[0][o]))
		}
		return fmt.Sprintf(`{"records":[%s],"next_offset":%d,"high_watermark":1000,"earliest":0}`, strings.Join(list, ","), n)
	}
	slow := map[int]net.Conn{}
	size := func(i int) int { return 200 + 100*(i%9) }
	for i := range 24 {
		slow[i] = h.slowReader(read(i, size(i)))
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 12 {
				n := 1 + (i*97+g)%999
				assert.Equal(t, want(g+i, n), h.do("GET", read(g+i, n), "").body)
			}
		})
	}
	all.Wait()
	for i, conn := range slow {
		resp, err := nethttp.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(answerBegin), conn)), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, want(i, size(i)), string(body))
	}
}

// waitingRead takes its steps one after the other, and then answers.
type waitingRead struct{ steps []func() }

func (w *waitingRead) Advance() (*protocol.PollReply, bool, *protocol.Error) {
	if len(w.steps) == 0 {
		return &protocol.PollReply{}, false, nil
	}
	w.steps[0]()
	w.steps = w.steps[1:]
	return nil, true, nil
}

func (w *waitingRead) Park(func()) {}
func (w *waitingRead) Nudge()      {}

// A read that was expected to bring records, and did not, waits without a buffer.
// One that has records, and waits for their commit, keeps them.
func TestReadWaitsWithoutBuffer(t *testing.T) {
	records := &rendering{}
	brings := func() {
		records.Expect(1 << 19)
		records.Take(&protocol.Record{Topic: "t", Key: []byte("-"), Value: []byte("1")})
	}
	p := &waitingRead{steps: []func(){
		func() { records.Expect(1 << 19) },
		brings,
		func() { records.Forget() }, // it was not delivered
		brings,
	}}
	var watch func() <-chan struct{}
	c := &call{request: request{ctx: &fasthttp.RequestCtx{}}, client: &client{}}
	s := pending(c, p, &watch, records, func(*call, *rendering, *protocol.PollReply) {}, nil, func() {})
	for i, kept := range []bool{false, true, false, true} {
		_, park := s.step()
		require.NotNil(t, park)
		assert.Equal(t, kept, records.buf != nil, "step %d", i)
		assert.Equal(t, kept, records.lent != nil, "step %d", i)
	}
	assert.Contains(t, string(records.buf), `"value":1`)
	answer, _ := s.step()
	require.NotNil(t, answer)
	records.release()
}
