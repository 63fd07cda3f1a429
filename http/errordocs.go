package http

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// docStatus is an HTTP status with the error codes that are sent with it, for the
// documents.
type docStatus struct {
	Status int
	Text   string // as HTTP calls it
	Codes  []docCode
}

type docCode struct {
	Name, Happened, Do string
	Number             int
	Retriable          bool
}

// errorStatuses returns all error codes by status, lowest first.
func errorStatuses() (out []docStatus) {
	for _, c := range protocol.Codes {
		i, found := slices.BinarySearchFunc(out, c.Status(), func(s docStatus, status int) int { return s.Status - status })
		if !found {
			out = slices.Insert(out, i, docStatus{Status: c.Status(), Text: fasthttp.StatusMessage(c.Status())})
		}
		e := c.Explanation()
		out[i].Codes = append(out[i].Codes, docCode{c.Name, e.Happened, e.Do, c.Number, c.Retriable})
	}
	return out
}

// codePlaceholders returns pairs of a placeholder of the contract and what it
// stands for: "${error_codes}" is the list of all codes, and ${codes_409} names
// those of a status in text.
func codePlaceholders() (pairs []string) {
	var all []string
	for _, s := range errorStatuses() {
		var quoted []string
		for _, c := range s.Codes {
			all = append(all, c.Name)
			quoted = append(quoted, "`"+c.Name+"`")
		}
		pairs = append(pairs, "${codes_"+strconv.Itoa(s.Status)+"}", strings.Join(quoted, ", "))
	}
	list, _ := json.Marshal(all) // strings always can be
	return append(pairs, `"${error_codes}"`, string(list))
}

// errorsPage is docs/errors.md: a table of codes for each status.
func errorsPage() string {
	var b strings.Builder
	b.WriteString(errorsPageHead)
	for _, s := range errorStatuses() {
		fmt.Fprintf(&b, "\n## %d %s\n\n| code | number | what happened | what to do |\n|---|---|---|---|\n", s.Status, s.Text)
		for _, c := range s.Codes {
			fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", c.Name, c.Number, c.Happened, c.Do)
		}
	}
	return b.String()
}

const errorsPageHead = `# Error codes

An error is always a JSON object of this shape, whatever the request asked for:

    {"error_code":40905,"code":"stale_generation","message":"...","retriable":false,"outcome":"none","request_id":"..."}

* ` + "`code`" + ` is the name to decide by, ` + "`error_code`" + ` the same as a number. ` + "`message`" + ` is for people, and may be worded otherwise in
  the next version.
* ` + "`outcome`" + ` says whether the request had an effect: ` + "`none`, `applied` (it had, although it failed) or `unknown`" + `.
* ` + "`retriable`" + ` says that the same request may succeed later. Wait for ` + "`Retry-After`" + ` (seconds) first. All codes of 429, 503
  and 504 are retriable, no other. A 504 may be repeated safely only with a ` + "`Producer-Id` or an `Idempotency-Key`" + `.
* ` + "`details`" + ` has what belongs to the code, such as ` + "`limit`, `field`, `earliest`, `latest`" + `.

The tables below are made of the server's own; ` + "`/docs` and `/openapi.json`" + ` have the same. New codes may be added: a client
that meets one which it does not know goes by ` + "`retriable`" + ` and by the status.
`
