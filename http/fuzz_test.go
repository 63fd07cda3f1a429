package http

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// FuzzProduce sends any body. There must be no panic, which would show as 500; the
// answer must be JSON; and an accepted body must be readable from its log lines.
func FuzzProduce(f *testing.F) {
	for _, body := range []string{
		event130, `{"topic":"t","records":[{"key":1},{"value_base64":"/w==","headers":{"a":"b"}}]}`, `[]`, `{"topic":"__x"`,
		"{\"value\":1}\n\n{\"key_text\":\"\\u0000\"}", "\xff\n#f 1", `{"topic":"t","value":"\ud800","partition":2,"timestamp":0}`,
	} {
		for kind := range byte(3) {
			f.Add(kind, []byte(body))
		}
	}
	b := newFake()
	s := New(b, Options{})
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		b.topics = map[string]*fakeTopic{}
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI("/events?topic=t")
		switch kind % 3 {
		case 0:
			ctx.Request.SetRequestURI("/events")
			ctx.Request.Header.SetContentType("application/json")
		case 1:
			ctx.Request.Header.SetContentType("application/x-ndjson")
		default:
			ctx.Request.Header.SetContentType("text/plain")
		}
		ctx.Request.SetBodyStream(strings.NewReader(string(body)), len(body))
		s.Handler(&ctx)
		if status := ctx.Response.StatusCode(); status >= 500 || !json.Valid(ctx.Response.Body()) {
			t.Fatalf("%d %s", status, ctx.Response.Body())
		}
		for _, topic := range b.topics {
			for _, log := range topic.partitions {
				for i := range log {
					if out := appendRecord(nil, &log[i]); !json.Valid(out) || !utf8.Valid(out) {
						t.Fatalf("%q renders as %s", body, out)
					}
				}
			}
		}
	})
}
