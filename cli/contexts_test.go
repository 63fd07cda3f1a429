package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/certs/certstest"
)

// environment makes a lookup of variables.
func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// contextual runs a command with these variables.
func contextual(t *testing.T, vars map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, lookupEnv: environment(vars)}
	code = run(p, args)
	return code, out.String(), errs.String()
}

func TestWhereContextsAreKept(t *testing.T) {
	for _, c := range []struct{ xdg, home, want string }{
		{"", "", ""},
		{"/x", "", "/x/ottla/contexts.json"},
		{"/x", "/h", "/x/ottla/contexts.json"},
		{"x", "/h", "/h/.config/ottla/contexts.json"}, // the specification of XDG ignores what is not absolute
		{"", "/h", "/h/.config/ottla/contexts.json"},
		{"x", "h", ""},
	} {
		assert.Equal(t, c.want, contextPath(environment(map[string]string{"XDG_CONFIG_HOME": c.xdg, "HOME": c.home})), c)
	}
	f, err := readContexts("")
	require.NoError(t, err)
	assert.Empty(t, f.Contexts)
	code, _, stderr := contextual(t, nil, "", "context", "add", "a", "--server", "http://127.0.0.1:1")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "neither HOME nor XDG_CONFIG_HOME says where they are kept")
}

// What is written is read again, whatever is in it, and only the owner can read it.
func TestContextsAreKeptAsTheyAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "contexts.json")
	require.NoError(t, quick.Check(func(names []string, s savedServer) bool {
		f := &contextFile{Contexts: map[string]*savedServer{}}
		for i, name := range names {
			kept := s
			kept.Token += strings.Repeat("x", i)
			if len(kept.Headers) == 0 {
				kept.Headers = nil
			}
			f.Contexts[strings.ToValidUTF8(name, "?")], f.Current = &kept, strings.ToValidUTF8(name, "?")
		}
		if err := f.write(path); err != nil {
			return false
		}
		got, err := readContexts(path)
		return err == nil && assert.ObjectsAreEqual(f, got)
	}, &quick.Config{MaxCount: 20}))
	for file, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), file)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, left, 1, "no file is left of the writing")
}

// A file that cannot be read or written is said to be so, and stays.
func TestContextsThatAreDamaged(t *testing.T) {
	home := t.TempDir()
	vars := map[string]string{"HOME": home}
	path := contextPath(environment(vars))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	for _, text := range []string{"", "{", "[]", `{"contexts":null}`, `{"contexts":{"a":null}}`, `{"contexts":{"a":{"server":7}}}`, `{"contexts":[]}`, `{"contexts":{"a":7}}`, `{"current":7,"contexts":{}}`} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		for args, want := range map[string]int{"context list": exitFailed, "context use a": exitFailed, "context remove a": exitFailed, "topic list": exitFailed, "topic list --context a": exitUsage} {
			code, _, stderr := contextual(t, vars, "", strings.Fields(args)...)
			assert.Equal(t, want, code, "%s: %q", args, text)
			assert.Contains(t, stderr, "is damaged: remove it, or mend its JSON", "%s: %q", args, text)
		}
		code, _, _ := contextual(t, vars, "", "context", "add", "a", "--server", "http://127.0.0.1:1")
		assert.Equal(t, exitFailed, code)
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, text, string(kept), "nothing of it is lost")
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	code, _, stderr := contextual(t, vars, "", "context", "list")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "contexts: ")
	require.NoError(t, os.RemoveAll(filepath.Dir(path)))
	require.NoError(t, os.WriteFile(filepath.Dir(path), nil, 0o600))
	code, _, stderr = contextual(t, vars, "", "context", "add", "a", "--server", "http://127.0.0.1:1")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "contexts: ")
}

func TestContextsAreUsedAndForgotten(t *testing.T) {
	vars := map[string]string{"HOME": t.TempDir()}
	list := func() string {
		_, out, _ := contextual(t, vars, "", "context", "list")
		return out
	}
	read := func() *contextFile {
		f, err := readContexts(contextPath(environment(vars)))
		require.NoError(t, err)
		return f
	}
	assert.Equal(t, "IN USE  NAME  SERVER  TOKEN\n", list())
	for _, name := range []string{"b", "a"} {
		code, out, _ := contextual(t, vars, "", "context", "add", name, "--server", "http://127.0.0.1:1", "--token", "secret-of-"+name)
		require.Equal(t, exitOK, code)
		assert.Equal(t, "context "+name+" is in use\n", out)
	}
	assert.Equal(t, []string{"*", "a", "http://127.0.0.1:1", "kept"}, strings.Fields(strings.Split(list(), "\n")[1]))
	assert.NotContains(t, list(), "secret")
	code, _, _ := contextual(t, vars, "", "context", "use", "b")
	require.Equal(t, exitOK, code)
	assert.Equal(t, "b", read().Current)
	for _, c := range []struct {
		named, env, want string
	}{{"", "", "b"}, {"a", "", "a"}, {"", "a", "a"}, {"b", "a", "b"}} {
		s, err := inUse(c.named, environment(map[string]string{"HOME": vars["HOME"], "OTTLA_CONTEXT": c.env}))
		require.NoError(t, err)
		assert.Equal(t, "secret-of-"+c.want, s.Token, c)
	}
	for _, args := range []string{"context use c", "context remove c"} {
		code, _, stderr := contextual(t, vars, "", strings.Fields(args)...)
		assert.Equal(t, exitFailed, code, args)
		assert.Contains(t, stderr, `there is no context "c"`, args)
	}
	code, _, _ = contextual(t, vars, "", "context", "remove", "a")
	require.Equal(t, exitOK, code)
	assert.Equal(t, "b", read().Current, "another one stays in use")
	code, _, _ = contextual(t, vars, "", "context", "remove", "b")
	require.Equal(t, exitOK, code)
	assert.Empty(t, read().Current)
	assert.Empty(t, read().Contexts)
	s, err := inUse("", environment(vars))
	require.NoError(t, err)
	assert.Nil(t, s)
	text, err := os.ReadFile(contextPath(environment(vars)))
	require.NoError(t, err)
	assert.True(t, json.Valid(text))
	assert.NotContains(t, string(text), "secret", "a token is forgotten with its context")
}

// Certificates of flags, the environment and a context: whose count, and what is refused.
func TestTrust(t *testing.T) {
	ca := certstest.New(t)
	cert, key := ca.Issue("client")
	_, other := ca.Issue("other")
	dir := t.TempDir()
	noPEM := filepath.Join(dir, "no.pem")
	require.NoError(t, os.WriteFile(noPEM, []byte("not PEM"), 0o600))
	both := filepath.Join(dir, "both.pem")
	var text []byte
	for _, file := range []string{cert, key} {
		part, err := os.ReadFile(file)
		require.NoError(t, err)
		text = append(text, part...)
	}
	require.NoError(t, os.WriteFile(both, text, 0o600))

	for name, c := range map[string]struct {
		t     trust
		env   map[string]string
		wrong string // of the error; "": none
		pairs int
		roots bool
	}{
		"nothing":                {},
		"insecure":               {t: trust{insecure: true}},
		"roots":                  {t: trust{ca: ca.PEM}, roots: true},
		"roots of environment":   {env: map[string]string{"OTTLA_CA": ca.PEM}, roots: true},
		"a flag before":          {t: trust{ca: ca.PEM}, env: map[string]string{"OTTLA_CA": noPEM}, roots: true},
		"a pair":                 {t: trust{cert: cert, key: key}, pairs: 1},
		"both in one file":       {t: trust{cert: both}, pairs: 1},
		"a pair of environment":  {env: map[string]string{"OTTLA_CERT": cert, "OTTLA_KEY": key}, pairs: 1},
		"key of the environment": {t: trust{cert: cert}, env: map[string]string{"OTTLA_KEY": key}, pairs: 1},
		"no such roots":          {t: trust{ca: filepath.Join(dir, "none")}, wrong: "--ca: "},
		"roots that are none":    {t: trust{ca: noPEM}, wrong: "has no certificate in PEM"},
		"a key alone":            {t: trust{key: key}, wrong: "--key needs --cert"},
		"a certificate alone":    {t: trust{cert: cert}, wrong: "--cert: "},
		"not its key":            {t: trust{cert: cert, key: other}, wrong: "--cert: "},
		"no certificate":         {t: trust{cert: noPEM, key: key}, wrong: "--cert: "},
	} {
		config, err := c.t.config(environment(c.env))
		if c.wrong != "" {
			var usage usageError
			require.ErrorAs(t, err, &usage, name)
			assert.ErrorContains(t, err, c.wrong, name)
			continue
		}
		require.NoError(t, err, name)
		if config == nil {
			assert.Zero(t, c.t, name)
			continue
		}
		assert.Equal(t, c.t.insecure, config.InsecureSkipVerify, name)
		assert.Len(t, config.Certificates, c.pairs, name)
		assert.Equal(t, c.roots, config.RootCAs != nil, name)
	}

	saved := &savedServer{CA: "kept-ca", Cert: "kept-cert", Key: "kept-key", Insecure: true}
	assert.Equal(t, trust{"kept-ca", "kept-cert", "kept-key", true}, trust{}.or(saved))
	assert.Equal(t, trust{"ca", "cert", "", true}, trust{ca: "ca", cert: "cert"}.or(saved), "a certificate never comes with the key of another")
	assert.Equal(t, trust{"kept-ca", "", "key", true}, trust{key: "key"}.or(saved))
}
