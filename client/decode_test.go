package client_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// anyRecord is a record in a shape: as our server writes it, or with its fields in another
// order, some of them missing, several times, or of the wrong type.
func anyRecord(rng *rand.Rand, shape uint64) string {
	fields := []string{
		fmt.Sprintf(`"topic":"t%d"`, rng.IntN(2)), fmt.Sprintf(`"partition":%d`, rng.IntN(2)), fmt.Sprintf(`"offset":%d`, rng.Uint64N(1<<rng.IntN(63))),
		fmt.Sprintf(`"timestamp":%d`, rng.Uint64N(1<<rng.IntN(43))), fmt.Sprintf(`"key":"k%d"`, rng.IntN(3)),
		fmt.Sprintf(`"value":{"n":%d}`, rng.IntN(9)), `"headers":{}`,
	}
	odd := []string{
		`"topic":"other"`, `"topic":null`, `"partition":7`, `"offset":1.5`, `"offset":007`, `"offset":-3`, `"timestamp":"x"`, `"offset":123456789012345678901`,
		`"key_text":"a\nb"`, `"headers":{"a":"b"}`, `"more":[1]`, `"offset": 5 `, ` "partition" : 1`, `"offset":12`, `"timestamp":0`,
	}
	change := rand.New(rand.NewPCG(shape, 5))
	for range change.IntN(3) {
		switch at := change.IntN(min(4, len(fields))); change.IntN(4) {
		case 0:
			fields = append(fields[:at], fields[at+1:]...)
		case 1:
			fields[at] = odd[change.IntN(len(odd))]
		case 2:
			other := change.IntN(len(fields))
			fields[at], fields[other] = fields[other], fields[at]
		case 3:
			fields = append(fields[:at], append([]string{odd[change.IntN(len(odd))]}, fields[at:]...)...)
		}
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// seen is what Next returns of a stream of records, and the error after them.
func seen(t *testing.T, records ...string) (list []string, failed string) {
	t.Helper()
	c, _ := streaming(t, "data: "+strings.Join(records, "\n\ndata: ")+"\n\n")
	s, err := c.OpenStream(t.Context(), "t", client.StreamOptions{Reuse: true})
	require.NoError(t, err)
	defer s.Close()
	for {
		batch, err := s.Next()
		for i := range batch {
			m := &batch[i]
			list = append(list, fmt.Sprintf("%s %d %d %d %v %s %v %s %v %v", m.Topic, m.Partition, m.Offset, m.Timestamp.UnixMilli(),
				m.Key.Kind(), m.Key.Bytes(), m.Value.Kind(), m.Value.Bytes(), m.Headers, m.DeliverAt.Equal(time.Time{})))
		}
		if err != nil {
			return list, err.Error()
		}
	}
}

// A record is read as if it came alone, although readers go by what is the same in the
// records before it.
func TestRecordsDoNotDependOnThoseBeforeThem(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 150 {
		var alone, records []string
		shape := uint64(0)
		for i := range 20 {
			if i%5 == 0 {
				shape = rng.Uint64N(1000)
			}
			r := anyRecord(rng, shape)
			one, failed := seen(t, r)
			alone, records = append(alone, one...), append(records, r)
			if len(one) == 0 {
				_, all := seen(t, records...)
				assert.Equal(t, failed, all, "%s", records)
				break
			}
		}
		together, _ := seen(t, records...)
		require.Equal(t, alone, together, "%s", records)
	}
}
