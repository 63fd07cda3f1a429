package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// awkward are values that a reader of JSON as text could get wrong.
var awkward = []string{
	`"\\"`, `"a\"b"`, `"\\\\\""`, `"ends in \\\\"`, `{"a":"}{][,:"}`, `[[],{},[{}],""]`, `{"cursor":"x","topic":"y","value":{"offset":1}}`,
	`-1.5e-10`, `0.10`, `12345678901234567890123`, `true`, `"\n\t\u0001"`, `"😀 ünï \ud83d\ude00"`, `""`, `{}`, `[]`, `{"":{"":[1,2,3]}}`,
	`{"__proto__":1,"constructor":null}`, `"<img src=x onerror=alert(1)>"`, `{"a":[1,[2,[3,[4,{"b":[5]}]]]]}`, `"` + strings.Repeat("long ", 100) + `"`,
}

// What the console shows of a value is what was written, whatever it is: in the list,
// when it is opened, and in the live tail.
func TestConsoleShowsAwkwardValuesAsTheyAre(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	s := start(t)
	s.topic("n", 1)
	for _, v := range awkward {
		s.post("/events", `{"topic":"n","key":`+v+`,"value":`+v+`,"headers":{"a\"b":"c\\"}}`).want(http.StatusOK)
	}
	var stored struct {
		Records []struct{ Key, Value json.RawMessage }
	}
	require.NoError(t, json.Unmarshal([]byte(s.text("/topic/n/partitions/0/records?offset=0")), &stored))
	require.Len(t, stored.Records, len(awkward))

	p := s.openConsole(ctx)
	require.NoError(t, chromedp.Do(p.ctx, chromedp.EmulateViewport(1280, 1600)))
	cells := "[...document.querySelectorAll('.records .row:not(.head)')].map(r => r.lastElementChild.textContent)"
	for _, view := range []string{"records", "live"} {
		p.visit("topic/default/n/"+view, "n")
		p.fill("From", "earliest")
		p.until("all are shown", cells+".length === "+string(mustJSON(t, len(awkward)))+" && document.querySelector('.records .row:not(.head)').children[2].textContent === '0'")
		for i, text := range eval[[]string](p, cells) {
			want := []rune(string(stored.Records[i].Value))
			if len(want) > 240 {
				want = append(want[:240], '…')
			}
			assert.Equal(t, string(want), text, "%s of the %s", awkward[i], view)
		}
		eval[bool](p, "(named('button', 'Pause')?.click(), true)")
	}
	p.visit("topic/default/n/records", "n")
	p.fill("From", "earliest")
	p.until("all are shown", cells+".length === "+string(mustJSON(t, len(awkward)))+" && document.querySelector('.records .row:not(.head)').children[2].textContent === '0'")
	for i := range awkward {
		same := eval[bool](p, `(async () => {
			document.querySelectorAll(".records .row:not(.head)")[`+string(mustJSON(t, i))+`].click();
			while (!document.querySelector("dialog[open] .datum-view")) await new Promise(requestAnimationFrame);
			const shown = [...document.querySelectorAll("dialog[open] .datum-view")].map(e => JSON.stringify(JSON.parse(e.textContent)));
			const headers = document.querySelector("dialog[open] .headers").textContent;
			named("button", "Close").click();
			while (document.querySelector("dialog[open]")) await new Promise(requestAnimationFrame);
			const want = JSON.stringify(JSON.parse(`+quote(string(stored.Records[i].Value))+`));
			return shown.length === 2 && shown[0] === want && shown[1] === want && headers === 'a"bc\\'; })()`)
		assert.True(t, same, awkward[i])
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}
