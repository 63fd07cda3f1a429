package http

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// maxListLimit is the most that a page of a list may have.
const maxListLimit = 10_000

// page is the part of a list that a request asks for. Without it the list is whole. Pages
// are cut by the keys of their rows, so that a row that comes or goes meanwhile moves no
// other one to another page.
type page struct {
	limit int    // 0: all that is left
	after string // key of the last row that the client has; "": none
}

func (p *page) bindings(more ...binding) []binding {
	return append(more,
		binding{name: "limit", set: setInteger(&p.limit, 1, maxListLimit, limited)},
		binding{name: "after", set: p.setAfter})
}

// setAfter takes what a former page gave as next.
func (p *page) setAfter(field string, v value) *protocol.Error {
	key, err := base64.RawURLEncoding.Strict().DecodeString(string(v.text))
	if err != nil {
		return invalid(field, "must be the `next` of a former page, unchanged")
	}
	p.after = string(key)
	return nil
}

// passed reports whether all rows whose keys begin with prefix are on former pages.
func (p *page) passed(prefix string) bool {
	return prefix < p.after && !strings.HasPrefix(p.after, prefix)
}

// fullAt reports whether so many rows are enough to answer.
func (p *page) fullAt(rows int) bool { return p.limit > 0 && rows > p.limit }

// rowKey is the key of a row, by which pages are ordered. None of the parts has a zero byte.
func rowKey(parts ...string) string { return strings.Join(parts, "\x00") }

// numberKey orders numbers that are not negative in keys.
func numberKey[T ~int | ~int64 | ~uint64](n T) string {
	const digits = 20
	var b [digits]byte
	for i := digits - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b[:])
}

// newestFirst orders times in keys, the latest first.
func newestFirst(at time.Time) string { return numberKey(int64(1)<<62 - at.UnixMilli()) }

// sendList answers with a list under one plural key, or with a page of it, and `next`
// where there are more.
func sendList[T any](c *call, p *page, name string, items []T, key func(*T) string) *protocol.Error {
	items = orEmpty(items)
	if p.limit == 0 && p.after == "" {
		return c.sendJSON(fasthttp.StatusOK, list(name, items))
	}
	type keyed struct {
		key string
		at  int
	}
	keys := make([]keyed, 0, len(items))
	for i := range items {
		if k := key(&items[i]); k > p.after {
			keys = append(keys, keyed{k, i})
		}
	}
	slices.SortFunc(keys, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	answer := map[string]any{}
	if p.limit > 0 && len(keys) > p.limit {
		keys = keys[:p.limit]
		answer["next"] = base64.RawURLEncoding.EncodeToString([]byte(keys[len(keys)-1].key))
	}
	rows := make([]T, len(keys))
	for i, k := range keys {
		rows[i] = items[k.at]
	}
	answer[name] = rows
	return c.sendJSON(fasthttp.StatusOK, answer)
}
