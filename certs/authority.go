package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Names of the files of an authority in its directory.
const (
	AuthorityCert = "ca.pem"
	AuthorityKey  = "ca.key"
)

// early is how far the clocks of nodes may be behind that of the machine on which
// certificates are made.
const early = 48 * time.Hour

// Authority signs the certificates of a fleet's nodes.
type Authority struct {
	dir  string
	pair tls.Certificate
	made bool
	now  func() time.Time
}

// OpenAuthority reads the authority in a directory, or makes one there that is
// valid for the given time. The files can only be read by their owner. Errors: one
// of its two files is missing, they do not fit together or have expired, or they
// cannot be written.
func OpenAuthority(dir string, valid time.Duration) (*Authority, error) {
	return openAuthority(dir, valid, time.Now)
}

func openAuthority(dir string, valid time.Duration, now func() time.Time) (*Authority, error) {
	a := &Authority{dir: dir, now: now}
	cert, key := filepath.Join(dir, AuthorityCert), filepath.Join(dir, AuthorityKey)
	_, certErr := os.Stat(cert)
	_, keyErr := os.Stat(key)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return a, a.make(valid)
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, fmt.Errorf("an authority is its certificate with its key: %w", err)
	}
	var err error
	if a.pair, err = tls.LoadX509KeyPair(cert, key); err != nil {
		return nil, fmt.Errorf("authority %s with key %s: %w", cert, key, err)
	}
	if ca := a.pair.Leaf; !ca.IsCA || now().After(ca.NotAfter) {
		return nil, fmt.Errorf("%s is no certificate of an authority, or has expired (%s)", cert, ca.NotAfter.Format(time.DateOnly))
	}
	return a, nil
}

// Made says whether OpenAuthority has made it.
func (a *Authority) Made() bool { return a.made }

// Until is when its certificate ends, and with it those that it has signed.
func (a *Authority) Until() time.Time { return a.pair.Leaf.NotAfter }

func (a *Authority) make(valid time.Duration) error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	now := a.now()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Ottla fleet " + now.UTC().Format(time.DateOnly)},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: now.Add(-early), NotAfter: now.Add(valid),
	}
	a.made = true
	var err error
	a.pair, err = a.sign(template, filepath.Join(a.dir, AuthorityCert), filepath.Join(a.dir, AuthorityKey))
	return err
}

// nodeName is what can stand in a certificate as the name of a node, and in the
// name of a file.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// Issue makes NAME.pem and NAME.key beside the authority: the certificate of the
// node of that name, to which hosts (names and addresses) may be added, valid for
// the given time but not longer than the authority. Errors: the name is not 1 to 63
// of A-Z a-z 0-9 . _ - that begin and end with a letter or digit, or is the
// authority's; a file exists already, or cannot be written.
func (a *Authority) Issue(name string, hosts []string, valid time.Duration) (NodeFiles, error) {
	files := NodeFiles{
		Cert: filepath.Join(a.dir, name+".pem"), Key: filepath.Join(a.dir, name+".key"), CA: filepath.Join(a.dir, AuthorityCert),
	}
	if !nodeName.MatchString(name) || files.Cert == files.CA {
		return files, fmt.Errorf("%q cannot be the name of a node: 1 to 63 of A-Z a-z 0-9 . _ - that begin and end with a letter or digit, not ca", name)
	}
	now := a.now()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   now.Add(-early), NotAfter: now.Add(valid),
	}
	if template.NotAfter.After(a.Until()) {
		template.NotAfter = a.Until()
	}
	for _, host := range append([]string{name}, hosts...) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	_, err := a.sign(template, files.Cert, files.Key)
	return files, err
}

// sign makes a key and a certificate for it, and writes both or none.
func (a *Authority) sign(template *x509.Certificate, certFile, keyFile string) (pair tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return pair, err
	}
	parent, signer := template, any(key)
	if a.pair.Leaf != nil {
		parent, signer = a.pair.Leaf, a.pair.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return pair, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair, err
	}
	if err := writeNew(keyFile, "PRIVATE KEY", secret); err != nil {
		return pair, err
	}
	if err := writeNew(certFile, "CERTIFICATE", der); err != nil {
		return pair, errors.Join(err, os.Remove(keyFile))
	}
	return tls.LoadX509KeyPair(certFile, keyFile)
}

// writeNew writes a file that must not exist, for its owner only.
func writeNew(file, kind string, der []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}
