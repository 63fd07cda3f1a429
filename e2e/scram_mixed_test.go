package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

func plainOf(user, token string) kgo.Opt {
	return kgo.SASL(plain.Auth{User: user, Pass: token}.AsMechanism())
}

// scramFleet is a fleet that asks Kafka clients for tokens.
type scramFleet struct {
	*nodeSet
	at []string
}

// shown asks a node once as somebody.
func (f *scramFleet) shown(node int, as kgo.Opt) error {
	k := &kafkaServer{server: f.nodes[node], at: f.at[node]}
	cl := k.kafka(as)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
	return err
}

// everywhere checks that all nodes let a client in, once they have heard of its token.
func (f *scramFleet) everywhere(why string, as kgo.Opt) {
	f.t.Helper()
	for i, s := range f.nodes {
		s.eventually(waitTimeout, fmt.Sprintf("%s, at node %d", why, i+1), func() error { return f.shown(i, as) })
	}
}

// secret makes a token, or another secret of one, at a node.
func (f *scramFleet) secret(node int, path, body string) string {
	f.t.Helper()
	var made struct{ Token string }
	a := f.nodes[node].post(path, body, admin...)
	require.Less(f.t, a.status, 300, "%s", a.body)
	a.decode(&made)
	return made.Token
}

// keys counts the records with keys for SCRAM on the disk of each node.
func (f *scramFleet) keys() (all []int) {
	f.t.Helper()
	for _, s := range f.nodes {
		n := 0
		require.NoError(f.t, filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(path, "__cluster_metadata") {
				return err
			}
			raw, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) { // it was deleted meanwhile
				return nil
			}
			n += strings.Count(string(raw), `"scram":`)
			return err
		}))
		all = append(all, n)
	}
	return all
}

const anyRead = `"allow":[{"do":["read"]}]`

// While a node of a fleet runs the program before, which knows no keys for SCRAM, none are
// made: it reads all that is written, PLAIN works everywhere, and SCRAM is refused. Keys are
// made once the level is raised, of new secrets.
func TestScramKeysWaitForAllNodes(t *testing.T) {
	t.Parallel()
	old := programBefore(t)
	f := &scramFleet{nodeSet: prepareNodes(t, 3)}
	auth := []string{"OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN=" + adminSecret}
	for _, s := range f.nodes {
		f.at = append(f.at, freeAddress(t))
		s.binary, s.env = old, auth
		s.args = append(s.args, "--kafka", f.at[len(f.at)-1])
		s.launch()
	}
	f.waitReady()
	early := f.secret(0, "/tokens", `{"name":"early",`+anyRead+`}`)
	f.everywhere("PLAIN before", plainOf("early", early))
	for _, s := range f.nodes[:2] {
		s.runs("", auth...)
		f.waitReady()
	}

	for node := range f.nodes { // whoever leads
		name := fmt.Sprintf("mixed-%d", node)
		first := f.secret(node, "/tokens", `{"name":"`+name+`",`+anyRead+`}`)
		f.everywhere("PLAIN", plainOf(name, first))
		token := f.secret(node, "/tokens/"+name+"/rotate", `{"overlap_ms":0}`)
		f.everywhere("PLAIN", plainOf(name, token))
		for i := range f.nodes[:2] {
			require.ErrorIs(t, f.shown(i, sha256Of(name, token)), kerr.SaslAuthenticationFailed, "there are no keys")
		}
	}
	assert.Equal(t, []int{0, 0, 0}, f.keys())
	f.nodes[2].kill() // it reads what the others have written
	f.nodes[2].again()
	f.waitReady()
	f.everywhere("PLAIN after the older program has started again", plainOf("early", early))
	assert.Equal(t, 3, f.nodes[0].levelAs())

	f.nodes[2].runs("", auth...)
	f.waitReady()
	for _, s := range f.nodes {
		s.eventually(waitTimeout, "the level is raised", func() error {
			if level := s.levelAs(); level != 4 {
				return fmt.Errorf("level %d", level)
			}
			return nil
		})
	}
	late := f.secret(1, "/tokens", `{"name":"late",`+anyRead+`}`)
	f.everywhere("SCRAM", sha256Of("late", late))
	f.everywhere("SCRAM", sha512Of("late", late))
	f.everywhere("PLAIN", plainOf("early", early))
	require.ErrorIs(t, f.shown(0, sha256Of("early", early)), kerr.SaslAuthenticationFailed, "its secret is not known any more")
	renewed := f.secret(2, "/tokens/early/rotate", `{"overlap_ms":0}`)
	f.everywhere("SCRAM with a new secret", sha256Of("early", renewed))
	for i, n := range f.keys() {
		assert.Positive(t, n, "node %d", i+1)
	}
}

// levelAs is the fleet's level as a node knows it.
func (s *server) levelAs() int {
	s.t.Helper()
	var f struct{ Level int }
	s.get("/fleet", admin...).want(http.StatusOK).decode(&f)
	return f.Level
}
