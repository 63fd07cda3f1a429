package cli

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// trust says whom a command believes to be the server, and by which certificate
// the server knows it. An empty field is taken from the environment. In produce,
// --key is the key of records, and that of the certificate needs OTTLA_KEY or
// stands in the file of --cert.
type trust struct {
	ca, cert, key string // files in PEM
	insecure      bool   // believe any certificate
}

func (t *trust) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&t.ca, "ca", "", "`FILE` with the roots of the server's certificate (default: OTTLA_CA, else those of the system)")
	flags.StringVar(&t.cert, "cert", "", "`FILE` with the certificate to show to the server (default: OTTLA_CERT)")
	flags.StringVar(&t.key, "key", "", "`FILE` with the key of --cert (default: OTTLA_KEY, else that of --cert)")
	flags.BoolVar(&t.insecure, "insecure", false, "do not verify the server's certificate")
}

// or fills what no flag has given with what a context keeps.
func (t trust) or(saved *savedServer) trust {
	t.ca = cmp.Or(t.ca, saved.CA)
	if t.cert == "" && t.key == "" {
		t.cert, t.key = saved.Cert, saved.Key
	}
	t.insecure = t.insecure || saved.Insecure
	return t
}

// trustOf reads the flags of a command that is being completed.
func trustOf(cmd *cobra.Command) (t trust) {
	t.ca, _ = cmd.Flags().GetString("ca")
	t.cert, _ = cmd.Flags().GetString("cert")
	if inherited := cmd.InheritedFlags(); inherited.Lookup("key") != nil { // else it is the key of records
		t.key, _ = inherited.GetString("key")
	}
	t.insecure, _ = cmd.Flags().GetBool("insecure")
	return t
}

// rootsIn reads the roots that a flag names.
func rootsIn(path, flag string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, usageError{fmt.Errorf("%s: %s has no certificate in PEM", flag, path)}
	}
	return roots, nil
}

// config returns the TLS settings, nil if there are none.
func (t trust) config(lookupEnv func(string) (string, bool)) (*tls.Config, error) {
	for _, v := range []struct {
		value *string
		name  string
	}{{&t.ca, "OTTLA_CA"}, {&t.cert, "OTTLA_CERT"}, {&t.key, "OTTLA_KEY"}} {
		if text, found := lookupEnv(v.name); *v.value == "" && found {
			*v.value = text
		}
	}
	if t == (trust{}) {
		return nil, nil
	}
	config := &tls.Config{InsecureSkipVerify: t.insecure} // #nosec G402 -- --insecure says so
	if t.ca != "" {
		var err error
		if config.RootCAs, err = rootsIn(t.ca, "--ca"); err != nil {
			return nil, err
		}
	}
	if t.cert == "" && t.key != "" {
		return nil, usageError{errors.New("--key needs --cert")}
	}
	if t.key == "" {
		t.key = t.cert
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, usageError{fmt.Errorf("--cert: %w", err)}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
