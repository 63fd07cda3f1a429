package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"ottla/client"

	"github.com/spf13/pflag"
)

// serverFlags say which server is meant, and what it is shown.
type serverFlags struct {
	server           string
	named            string // by --context
	token, tokenFile string
	headers          []string // NAME=VALUE
	trust            trust
}

func (f *serverFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.server, "server", "", "`URL` of the server, or URLs of a fleet's nodes with commas between them (default: OTTLA_SERVER, else that of the context, else "+defaultServer+")")
	flags.StringVar(&f.named, "context", "", "`NAME` of the context to use (default: OTTLA_CONTEXT, else that of 'ottla context use')")
	flags.StringVar(&f.token, "token", "", "`TOKEN` to show to the server (default: OTTLA_TOKEN); others can see command lines")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token, - for standard input (default: OTTLA_TOKEN_FILE)")
	flags.StringArrayVar(&f.headers, "header", nil, "`NAME=VALUE` of a header of every request, for a proxy in front of the server; may be repeated. Others can see command lines: 'ottla context add' keeps it")
	f.trust.addFlags(flags)
}

// What a header may have (RFC 9110, 5.5 and 5.6.2).
var (
	headerName  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	headerValue = regexp.MustCompile(`^[\t\x20-\x7e\x80-\x{10ffff}]*$`)
)

// parseHeaders takes apart the values of --header.
func parseHeaders(given []string) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range given {
		name, value, ok := strings.Cut(text, "=")
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		if !ok || !headerName.MatchString(name) || !headerValue.MatchString(value) { // the text may be a secret: it is not repeated
			return nil, usageError{errors.New("--header needs NAME=VALUE, of characters that a header may have")}
		}
		all[name] = value
	}
	return all, nil
}

// withHeaders makes an option of headers, of --header or a context. Those of the API
// cannot be given: a wrong Producer-Seq loses records. A token and Authorization exclude each other.
func withHeaders(headers map[string]string, token string) (client.Option, error) {
	if headers["Authorization"] != "" && token != "" {
		return nil, usageError{errors.New("a token is shown by Authorization: it excludes --header Authorization")}
	}
	all := http.Header{}
	for name, value := range headers {
		if client.OwnHeader(name) {
			return nil, usageError{fmt.Errorf("--header %s: the client sets this header itself", name)}
		}
		all.Set(name, value)
	}
	return client.WithHeaders(all), nil
}

// dial returns the server that the flags or the environment name.
func (f *serverFlags) dial(p *process) (*api, error) {
	server := f.server
	if server == "" {
		server, _ = envOf(p.lookupEnv, "OTTLA_SERVER")
	}
	token, err := f.shownToken(p)
	if err != nil {
		return nil, err
	}
	trust := f.trust
	headers, err := parseHeaders(f.headers)
	if err != nil {
		return nil, err
	}
	switch {
	case server != "" && f.named != "":
		return nil, usageError{errors.New("--context names a server: it excludes --server and OTTLA_SERVER")}
	case server == "":
		saved, err := inUse(f.named, p.lookupEnv)
		if err != nil {
			return nil, err
		}
		server = defaultServer
		if saved == nil {
			break
		}
		// What is kept for one server is never sent to anothef.
		server, trust = saved.Server, trust.or(saved)
		for name, value := range saved.Headers {
			if headers[name] == "" {
				headers[name] = value
			}
		}
		if token == "" && saved.TokenFile != "" {
			token, err = tokenInFile(saved.TokenFile)
		}
		if token == "" {
			token = saved.Token
		}
		if err != nil {
			return nil, err
		}
	}
	config, err := trust.config(p.lookupEnv)
	if err != nil {
		return nil, err
	}
	more, err := withHeaders(headers, token)
	if err != nil {
		return nil, err
	}
	return newAPI(server, config, token, more)
}

// shownToken is the token that the flags or the environment name; "" if none does.
func (f *serverFlags) shownToken(p *process) (string, error) {
	token, file := f.token, f.tokenFile
	if token == "" && file == "" {
		token, _ = envOf(p.lookupEnv, "OTTLA_TOKEN")
		if token == "" {
			file, _ = envOf(p.lookupEnv, "OTTLA_TOKEN_FILE")
		}
	}
	switch {
	case token != "" && file != "":
		return "", errTwoTokens
	case file == "-":
		return tokenFrom(p.stdin, "standard input")
	case file != "":
		return tokenInFile(file)
	}
	token = strings.TrimSpace(token)
	return token, checkToken(token)
}

// saved makes a context of the flags. Files are kept by their absolute paths.
func (f *serverFlags) saved(p *process) (*savedServer, error) {
	if f.server == "" {
		return nil, usageError{errors.New("a context needs --server")}
	}
	s := &savedServer{Server: f.server, Token: f.token, CA: f.trust.ca, Cert: f.trust.cert, Key: f.trust.key, Insecure: f.trust.insecure}
	switch {
	case f.token != "" && f.tokenFile != "":
		return nil, errTwoTokens
	case f.tokenFile == "-":
		token, err := tokenFrom(p.stdin, "standard input")
		if err != nil {
			return nil, err
		}
		s.Token = token
	default:
		s.TokenFile = f.tokenFile
	}
	if err := checkToken(s.Token); err != nil {
		return nil, err
	}
	headers, err := parseHeaders(f.headers)
	if err == nil {
		_, err = withHeaders(headers, s.Token+s.TokenFile)
	}
	if err != nil {
		return nil, err
	}
	s.Headers = headers
	for _, file := range []*string{&s.TokenFile, &s.CA, &s.Cert, &s.Key} {
		if *file == "" {
			continue
		}
		whole, err := filepath.Abs(*file)
		if err == nil {
			_, err = os.Stat(whole)
		}
		if err != nil {
			return nil, usageError{err}
		}
		*file = whole
	}
	config, err := f.trust.config(func(string) (string, bool) { return "", false })
	if err == nil {
		_, err = newAPI(s.Server, config, "")
	}
	return s, err
}
