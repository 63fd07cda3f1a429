package cli

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

// secretFlags say which secret webhooks are signed with.
type secretFlags struct {
	secret, file string
	generate     bool
}

func (f *secretFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.secret, "secret", "", "`SECRET` that both sides know; other users of this machine can read command lines")
	cmd.Flags().StringVar(&f.file, "secret-file", "", "`FILE` with the secret, - for standard input")
	cmd.Flags().BoolVar(&f.generate, "generate-secret", false, "make a secret and print it: nothing shows it again")
}

// take returns the secret, "" for none.
func (f *secretFlags) take(p *process) (string, error) {
	given := 0
	for _, b := range []bool{f.secret != "", f.file != "", f.generate} {
		if b {
			given++
		}
	}
	switch {
	case given > 1:
		return "", usageError{errors.New("--secret, --secret-file and --generate-secret exclude each other")}
	case f.generate:
		key := make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return "", fmt.Errorf("make a secret: %w", err)
		}
		return "whsec_" + base64.StdEncoding.EncodeToString(key), nil
	case f.file == "":
		return f.secret, nil
	}
	in := io.NopCloser(p.stdin)
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return "", usageError{fmt.Errorf("secret: %w", err)}
		}
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, protocol.MaxSecretBytes+3))
	if err := errors.Join(err, in.Close()); err != nil {
		return "", usageError{fmt.Errorf("secret: %w", err)}
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", usageError{fmt.Errorf("secret: %s is empty", f.file)}
	}
	return secret, nil
}
