package e2e

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// usesClient is a page that uses the TypeScript client: it writes in all ways, follows, and
// consumes.
const usesClient = `<!doctype html><title>at work</title><script type="module">
import { Client, OttlaError } from "./index.js";
const said = [];
try {
  const c = new Client("SERVER");
  await c.produce("page", { n: 0 }, { key: "a" });
  const p = c.producer("page");
  await Promise.all(Array.from({ length: 300 }, (_, i) => p.send({ value: { n: i + 1 } })));
  const consumer = c.consumer("page", { group: "page" });
  const seen = new Set();
  for await (const r of consumer) { seen.add(r.value.n); if (seen.size === 301) break; }
  await consumer.close();
  said.push(seen.size);
  let n = 0;
  for await (const r of c.stream("page", { from: "earliest" })) { if (++n === 301) break; }
  said.push(n);
  try { await c.records("nowhere", 0, { offset: 0 }); } catch (e) { said.push(e instanceof OttlaError && e.code); }
} catch (e) { said.push(String(e)); }
document.title = "said " + JSON.stringify(said);
</script>`

// The TypeScript client works in a browser, on a page of an origin that is allowed.
func TestTheTypeScriptClientInABrowser(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	if _, err := exec.LookPath("npx"); err != nil {
		t.Skip("no npx here")
	}
	dir := t.TempDir()
	cmd := exec.Command("npx", "-y", "-p", "typescript@5.9.3", "tsc", "-p", "../clients/typescript", "--outDir", dir, "--declaration", "false")
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "error TS") {
			t.Fatalf("%s", out)
		}
		t.Skipf("no TypeScript here: %s", out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := start(t, "OTTLA_CORS_ORIGINS=http://"+ln.Addr().String())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte(strings.Replace(usesClient, "SERVER", s.base, 1)), 0o600))
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.FileServer(http.Dir(dir))}}
	srv.Start()
	t.Cleanup(srv.Close)
	assert.JSONEq(t, `[301,301,"topic_not_found"]`, visit(t, ctx, srv.URL+"/", "said "))
	assert.Empty(t, s.members("page"), "the consumer has left")
}
