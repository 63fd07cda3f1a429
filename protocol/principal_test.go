package protocol

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPatterns(t *testing.T) {
	for pattern, valid := range map[string]bool{
		"a": true, "a*": true, "*": true, "a.b-c_d*": true, ".": false, "..": false, ".*": true, "": false, "a*b": false, "**": false,
		"a b": false, "*a": false, "ä": false, strings.Repeat("a", 200) + "*": true, strings.Repeat("a", 201): false,
	} {
		assert.Equal(t, valid, ValidPattern(pattern), pattern)
	}
	assert.True(t, matches("a*", "a") && matches("a*", "ab") && matches("*", "x") && matches("a", "a"))
	assert.False(t, matches("a*", "b") || matches("a", "ab") || matches("", "a"))
}

// may asks a principal in words: "write topic default/a", "read group b/g",
// "admin cluster c", "read everything".
func may(p *Principal, question string) bool {
	words := strings.Fields(question)
	do, _ := ParseRight(words[0])
	cluster, name, _ := strings.Cut(words[len(words)-1], "/")
	switch words[1] {
	case "topic":
		return p.Topic(do, cluster, name)
	case "group":
		return p.Group(do, cluster, name)
	case "cluster":
		return p.Cluster(do, cluster)
	}
	return p.Everything(do)
}

func TestWhatGrantsAllow(t *testing.T) {
	for name, c := range map[string]struct {
		allow    []Grant
		yes, not []string
	}{
		"a team": {
			[]Grant{{Do: []string{"read", "write"}, Topics: "a.*", Groups: "a.*"}},
			[]string{"read topic default/a.x", "write topic other/a.x", "read group default/a.g"},
			[]string{"admin topic default/a.x", "read topic default/b.x", "read group default/b.g", "admin group default/a.g", "read cluster default", "read everything"},
		},
		"topics only": {
			[]Grant{{Do: []string{"read", "admin"}, Topics: "a"}},
			[]string{"read topic d/a", "admin topic d/a", "read group d/any"},
			[]string{"admin group d/any", "write topic d/a", "read topic d/ab", "admin cluster d"},
		},
		"topics and groups apart": {
			[]Grant{{Do: []string{"read"}, Topics: "a"}, {Do: []string{"read"}, Groups: "g"}},
			[]string{"read topic d/a", "read group d/g"},
			[]string{"read topic d/b", "read group d/h"},
		},
		"groups only": {
			[]Grant{{Do: []string{"read", "admin"}, Groups: "g*"}},
			[]string{"read group d/g1", "admin group d/g1"},
			[]string{"read topic d/g1", "read group d/h", "read everything"},
		},
		"a cluster": {
			[]Grant{{Do: []string{"admin"}, Cluster: "c"}},
			[]string{"admin cluster c", "admin topic c/x", "admin topic c/__x", "admin group c/g"},
			[]string{"admin cluster d", "read topic c/x", "admin topic d/x", "admin everything"},
		},
		"all topics": {
			[]Grant{{Do: []string{"read"}, Topics: "*", Groups: "*"}},
			[]string{"read topic c/x", "read group c/g"},
			[]string{"read topic c/__consumer_offsets", "read cluster c", "read everything"},
		},
		"internal topics": {
			[]Grant{{Do: []string{"read"}, Topics: "__consumer*"}},
			[]string{"read topic c/__consumer_offsets"},
			[]string{"read topic c/__cluster_metadata", "read topic c/x"},
		},
		"everything": {
			[]Grant{{Do: []string{"read"}}},
			[]string{"read everything", "read cluster c", "read topic c/__cluster_metadata", "read group c/g"},
			[]string{"admin everything", "write topic c/x"},
		},
		"everything by stars": {[]Grant{{Do: []string{"read"}, Cluster: "*"}}, []string{"read everything"}, nil},
		"nothing":             {nil, nil, []string{"read topic c/x", "read group c/g", "read cluster c", "read everything"}},
	} {
		p := NewPrincipal(name, c.allow, nil)
		for _, q := range c.yes {
			assert.True(t, may(p, q), "%s: %s", name, q)
		}
		for _, q := range c.not {
			assert.False(t, may(p, q), "%s: %s", name, q)
		}
	}
	for _, q := range []string{"read topic c/__x", "admin everything", "admin cluster c", "write topic a/b", "admin group c/g"} {
		assert.True(t, may(nil, q), "nobody is asked: %s", q)
	}
	p := NewPrincipal("p", []Grant{{Do: []string{"write"}, Cluster: "c*", Topics: "a"}}, nil)
	assert.True(t, p.SeesTopic("c1", "a") && p.SeesCluster("c1"))
	assert.False(t, p.SeesTopic("c1", "b") || p.SeesTopic("d", "a") || p.SeesCluster("d") || p.SeesGroup("c1", "g"))
}

func TestPrincipalsEnd(t *testing.T) {
	now := time.Now()
	at := now.Add(time.Second)
	p := NewPrincipal("p", nil, &at)
	assert.False(t, p.Over(now))
	assert.True(t, p.Over(at))
	p.End()
	p.End()
	assert.True(t, p.Over(now))
	<-p.Ended()
	var nobody *Principal
	assert.False(t, nobody.Over(now))
	assert.Nil(t, nobody.Ended())
	assert.Equal(t, "read, admin", (RightRead | RightAdmin).String())
}
