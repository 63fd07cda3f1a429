package cli

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"ottla/config"
)

// adminTokenEnv is the variable with the first token. It is no key of the
// configuration, so that `serve --check` does not print it.
const adminTokenEnv = "OTTLA_ADMIN_TOKEN"

// Sizes of a token that people bring, in bytes.
const (
	maxTokenBytes  = 4096
	weakTokenBytes = 20 // shorter ones may be found by trying
)

// adminToken is the first token, from the file or the environment; "" if there is
// none. Errors never have the token in them.
func adminToken(cfg *config.Config, lookupEnv func(string) (string, bool), log *slog.Logger) (string, error) {
	token, from := "", adminTokenEnv
	if text, given := lookupEnv(adminTokenEnv); given {
		token = text
	}
	if file := cfg.Auth.AdminTokenFile; file != "" {
		if token != "" {
			return "", fmt.Errorf("both auth.admin_token_file and %s have a token: choose one", adminTokenEnv)
		}
		text, err := readToken(file)
		if err != nil {
			return "", fmt.Errorf("auth.admin_token_file: %w", err)
		}
		token, from = text, "auth.admin_token_file"
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o007 != 0 {
			log.Warn("everybody on this machine can read the file of the token: chmod 600", "file", file)
		}
	}
	token = strings.TrimSpace(token)
	switch {
	case token == "" && cfg.Auth.Mode == "token":
		log.Warn("there is no token of an administrator: only those that were created earlier are valid", "variable", adminTokenEnv)
	case token == "":
	case cfg.Auth.Mode != "token":
		return "", fmt.Errorf("%s has a token, but nobody is asked for one: set auth.mode: token (OTTLA_AUTH_MODE=token)", from)
	case len(token) > maxTokenBytes || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("%s: a token is up to %d printable ASCII characters without spaces", from, maxTokenBytes)
	case len(token) < weakTokenBytes:
		log.Warn("the token of the administrator is short enough to be found by trying: use 32 random bytes, as of openssl rand -hex 32", "from", from)
	}
	return token, nil
}

// readToken reads a token from a file of one line.
func readToken(file string) (string, error) {
	text, err := os.ReadFile(file)
	switch {
	case err != nil:
		return "", err
	case len(text) > maxTokenBytes+2:
		return "", fmt.Errorf("%s has more than %d bytes: it is no token", file, maxTokenBytes)
	}
	if token := strings.TrimSpace(string(text)); token != "" {
		return token, nil
	}
	return "", fmt.Errorf("%s is empty", file)
}
