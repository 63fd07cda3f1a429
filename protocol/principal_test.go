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

func TestGrantsThatAreOnes(t *testing.T) {
	for want, grants := range map[bool][]Grant{
		true: {{Do: []string{"read"}}, {Do: []string{"read", "write", "admin"}, Cluster: "c*", Topics: "t", Groups: "*"}},
		false: {
			{},
			{Do: []string{}},
			{Do: []string{"own"}},
			{Do: []string{"read", ""}},
			{Do: []string{"Read"}},
			{Do: []string{"read"}, Cluster: "a b"},
			{Do: []string{"read"}, Topics: "a*b"},
			{Do: []string{"read"}, Groups: ".."},
		},
	} {
		for _, g := range grants {
			assert.Equal(t, want, g.Valid(), "%+v", g)
		}
	}
	assert.Equal(t, "read, admin", (RightRead | RightAdmin).String())
	assert.Equal(t, "write", RightWrite.String())
	_, known := ParseRight("own")
	assert.False(t, known)
}

// Who stands for a token, as a certificate or a JSON web token does, may do the same under
// another name, for no longer than either is valid, and ends with it.
func TestPrincipalsThatStandForOthers(t *testing.T) {
	now := time.Now()
	soon, later := now.Add(time.Minute), now.Add(time.Hour)
	usage := NewUsage(TokenQuota{Requests: 1})
	p := NewPrincipal("team", []Grant{{Do: []string{"read"}}}, &soon).WithUsage(usage).By(TokenHash{1})
	for _, c := range []struct{ until, want time.Time }{{later, soon}, {now.Add(time.Second), now.Add(time.Second)}} {
		as := p.As("jwt:a", c.until)
		assert.Equal(t, c.want, as.Expires())
		assert.Equal(t, "jwt:a", as.Name())
		assert.Equal(t, "team", as.Entry())
		assert.Same(t, usage, as.Usage(), "what it uses counts for the token")
		assert.Equal(t, TokenHash{1}, as.Secret())
		assert.Equal(t, TokenHash{}, as.By(TokenHash{}).Secret())
		assert.True(t, as.Everything(RightRead))
	}
	forever := NewPrincipal("team", nil, nil)
	assert.Equal(t, later, forever.As("b", later).Expires())
	as := p.As("b", later)
	assert.False(t, as.Over(now))
	assert.False(t, as.Expired(soon.Add(-1)))
	assert.True(t, as.Expired(soon), "at that time, not after it")
	p.End()
	p.End()
	<-as.Ended()
	assert.True(t, as.Over(now))
	assert.False(t, as.Expired(now), "it has ended, but has not expired")

	clock := soon
	timed := NewPrincipal("t", nil, &soon).Timed(func() time.Time { return clock })
	assert.True(t, timed.Over(now), "by its clock, whatever the asker's says")
	clock = now
	assert.False(t, timed.Over(later))

	var nobody *Principal
	assert.Empty(t, nobody.Name()+nobody.Entry())
	assert.Nil(t, nobody.Usage())
	assert.Nil(t, nobody.Ended())
	assert.False(t, nobody.Over(later))
}

func TestWhatForbiddenSays(t *testing.T) {
	a := Access{Who: NewPrincipal("team", nil, nil)}
	err := a.Forbidden(RightWrite, "topic", "c", "t")
	assert.Equal(t, CodeForbidden, err.Code)
	assert.Equal(t, `"team" may not write topic "t" of cluster "c"`, err.Message)
	assert.Equal(t, map[string]any{"action": "write", "resource": map[string]any{"kind": "topic", "name": "t", "cluster": "c"}}, err.Details)
	err = a.Forbidden(RightAdmin, "everything", "", "*")
	assert.Equal(t, `"team" may not admin everything "*"`, err.Message)
	assert.Equal(t, map[string]any{"action": "admin", "resource": map[string]any{"kind": "everything", "name": "*"}}, err.Details)
}
