package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// shots is where pictures go; empty: none are made.
var shots = os.Getenv("OTTLA_SCREENSHOTS")

// TestScreenshots makes the pictures of the console in docs/console: see make
// screenshots.
func TestScreenshots(t *testing.T) {
	if shots == "" {
		t.Skip("make screenshots makes them")
	}
	ctx := browser(t)
	s := start(t)
	stop := s.liven()
	defer stop()
	warmUp, err := time.ParseDuration(os.Getenv("OTTLA_SCREENSHOTS_WARM_UP"))
	require.NoError(t, err)
	p := s.openConsole(ctx)
	p.visit("group/default/billing", "billing")
	<-time.After(warmUp)
	p.picture("overview", "", "Overview", "")
	p.picture("topics", "topics", "Topics", "")
	p.picture("topic", "topic/default/orders", "orders", "")
	p.picture("records", "topic/default/orders/records", "orders", "document.querySelectorAll('.records .row').length > 10")
	eval[bool](p, "(document.querySelectorAll('.records .row')[6].click(), true)")
	p.picture("record", "", "orders", "document.querySelector('dialog[open]')")
	p.click("Close")
	p.picture("live", "topic/default/page-views/live", "page-views", "document.querySelectorAll('.records .row').length > 20")
	p.visit("topic/default/orders/produce", "orders")
	p.fill("Key", "o-1042")
	p.fill("Value", `{"order": "o-1042", "total": 129.90, "items": [{"sku": "A-7", "count": 2}]}`)
	p.picture("produce", "", "orders", "")
	p.picture("groups", "groups", "Groups", "")
	p.picture("group", "group/default/billing", "billing", "document.querySelectorAll('table').length > 1")
	p.click("Seek")
	p.picture("seek", "", "billing", "document.querySelector('.preview td')")
	p.click("Cancel")
	p.picture("brokers", "brokers", "Brokers", "")
	s.setBroker(2, "stop", "stopped")
	p.picture("degraded", "", "Overview", "document.body.innerText.includes('broker 2')")
	s.setBroker(2, "start", "running")
	pictureTokens(t, ctx)
	pictureNodes(t, ctx)
}

// pictureTokens makes the pictures of a server that asks for tokens.
func pictureTokens(t *testing.T, ctx context.Context) {
	t.Helper()
	s := guarded(t)
	for name, token := range map[string]string{
		"billing":   `{"allow":[{"do":["read"],"topics":"orders","groups":"billing"},{"do":["write"],"topics":"invoices"}]`,
		"dashboard": `{"allow":[{"do":["read"]}],"quota":{"fetch_bytes_per_s":5000000,"connections":20}`,
		"shop":      `{"allow":[{"do":["write"],"topics":"shop.*"}],"expires_at":"2099-01-01T00:00:00Z","quota":{"requests_per_s":2000}`,
	} {
		s.post("/tokens", token+`,"name":"`+name+`"}`, admin...).want(http.StatusCreated)
	}
	p := s.openConsole(ctx)
	p.shows("This server wants a token")
	p.picture("sign-in", "", "", "")
	p.fill("Token", adminSecret)
	p.click("Sign in")
	p.shows("All is well")
	p.click("Tokens")
	p.picture("tokens", "", "Tokens", "document.querySelectorAll('tbody tr').length === 3")
	p.click("Change token billing")
	p.picture("token", "", "Tokens", "document.querySelector('dialog[open]')")
}

// pictureNodes makes the picture of a fleet.
func pictureNodes(t *testing.T, ctx context.Context) {
	t.Helper()
	f := startNodes(t, 3)
	s := f.nodes[0]
	s.topic("orders", 6)
	for i := range 300 {
		s.produce("orders", object{"key": fmt.Sprint("o-", i), "value": i})
	}
	s.call(http.MethodPost, "/nodes/3/drain", nil).want(http.StatusOK)
	p := s.openConsole(ctx)
	p.picture("nodes", "brokers", "Nodes and brokers", "document.body.innerText.includes('draining')")
}

// alsoLike are the pages that docs/console has in another look, too. With
// OTTLA_SCREENSHOTS_ALL set, all pages are made in all looks, to be looked at.
var alsoLike = map[string]bool{"overview-dark": true, "live-dark": true, "topic-dark": true, "overview-phone": true, "records-phone": true, "group-phone": true}

// picture visits a page, unless the path is empty and what is shown is the picture,
// and makes pictures of it: in the light, in the dark and on a phone.
func (p *page) picture(name, path, heading, ready string) {
	p.t.Helper()
	if path != "" || heading == "Overview" {
		p.visit(path, heading)
	}
	p.until("there is something to see", "!document.querySelector('.waiting')")
	if ready != "" {
		p.until("the page is ready", ready)
	}
	for _, look := range []struct {
		suffix, theme string
		width, height int64
	}{{"", "light", 1280, 860}, {"-dark", "dark", 1280, 860}, {"-phone", "light", 390, 844}} {
		if look.suffix != "" && !alsoLike[name+look.suffix] && os.Getenv("OTTLA_SCREENSHOTS_ALL") == "" {
			continue
		}
		p.look(look.theme)
		require.NoError(p.t, chromedp.Do(p.ctx, chromedp.EmulateViewport(look.width, look.height)))
		eval[bool](p, "new Promise(done => setTimeout(() => done(true), 400))")
		shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		require.NoError(p.t, err)
		require.NoError(p.t, os.WriteFile(filepath.Join(shots, name+look.suffix+".png"), small(p.t, shot), 0o644))
	}
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.EmulateViewport(1280, 860)))
	p.look("light")
}

// small is a picture in 256 colours: those of the page are few.
func small(t *testing.T, shot []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(shot))
	require.NoError(t, err)
	counts := map[color.RGBA]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			counts[color.RGBA{uint8(r>>8) &^ 3, uint8(g>>8) &^ 3, uint8(bl>>8) &^ 3, 255}]++
		}
	}
	palette := color.Palette{}
	for len(palette) < 256 && len(counts) > 0 {
		best, most := color.RGBA{}, -1
		for c, n := range counts {
			if n > most || n == most && fmt.Sprint(c) < fmt.Sprint(best) {
				best, most = c, n
			}
		}
		palette = append(palette, best)
		delete(counts, best)
	}
	out := image.NewPaletted(b, palette)
	nearest := map[color.RGBA]uint8{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			c := color.RGBA{uint8(r>>8) &^ 3, uint8(g>>8) &^ 3, uint8(bl>>8) &^ 3, 255}
			i, known := nearest[c]
			if !known {
				i = uint8(palette.Index(c))
				nearest[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	var small bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, out))
	return small.Bytes()
}

// liven gives the server topics, groups and traffic to show, until stop is called.
func (s *server) liven() (stop func()) {
	for name, settings := range map[string]object{
		"orders": {"partitions": 6}, "payments": {"partitions": 3}, "page-views": {"partitions": 12, "retention_ms": 86_400_000},
		"accounts": {"partitions": 3, "cleanup_policy": "compact"}, "mail.outbox": {"partitions": 1}, "audit": {"partitions": 1, "retention_ms": -1},
	} {
		settings["name"] = name
		s.post("/topic", settings).want(http.StatusCreated)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	countries, pages := []string{"DE", "FR", "SE", "PL"}, []string{"/", "/cart", "/checkout", "/search?q=lamp", "/product/8812"}
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			views := make([]object, 0, 8)
			for j := range 1 + i%8 {
				n := i*7 + j
				views = append(views, object{"key": fmt.Sprintf("u-%d", n%997), "value": object{"page": pages[n%len(pages)], "ms": 12 + n%180, "country": countries[n%4]}})
			}
			_, _ = s.try(http.MethodPost, "/events?acks=none", object{"topic": "page-views", "records": views})
			if i%3 == 0 {
				order := fmt.Sprintf("o-%d", 1000+i)
				_, _ = s.try(http.MethodPost, "/events?acks=none", object{
					"topic": "orders", "key": order, "headers": object{"source": "web", "trace": fmt.Sprintf("%08x", i*7919)},
					"value": object{"order": order, "customer": fmt.Sprintf("u-%d", i%997), "country": countries[i%4], "total": float64(i%4000) / 10, "items": []object{{"sku": fmt.Sprintf("A-%d", i%90), "count": 1 + i%3}}},
				})
			}
			if i%9 == 0 {
				_, _ = s.try(http.MethodPost, "/events?acks=none", object{"topic": "accounts", "key": fmt.Sprintf("u-%d", i%97), "value": object{"plan": "pro"}})
				_, _ = s.try(http.MethodGet, fmt.Sprintf("/events?topic=orders&group=billing&consumer_id=%d&timeout_ms=0&session_timeout_ms=60000&max_records=25", 1+i%2), nil)
				_, _ = s.try(http.MethodGet, "/events?topic=page-views&group=analytics&consumer_id=9&timeout_ms=0&session_timeout_ms=60000&max_records=500", nil)
			}
			if i == 40 {
				_, _ = s.try(http.MethodGet, "/events?topic=orders&group=mailer&consumer_id=30&timeout_ms=0&session_timeout_ms=1000&max_records=3", nil)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
