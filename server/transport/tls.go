package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// TLS is a node's certificate and the authority that signs those of all nodes, in PEM files that are read again when they change. Both ends
// of a connection show a certificate. Which node it is for is not read from it: the preamble says who is meant, and only nodes have one.
type TLS struct {
	CertFile, KeyFile, AuthorityFile string

	mu     sync.Mutex // guards the fields below
	loaded time.Time  // the latest change of the files that is loaded
	cert   *tls.Certificate
	pool   *x509.CertPool
}

// load gives what the files say now. Files that cannot be read leave what was loaded before in force: a renewal writes one after the other.
func (t *TLS) load() (*tls.Certificate, *x509.CertPool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed, err := t.changed()
	if err == nil && changed.After(t.loaded) {
		err = t.read()
	}
	if err == nil {
		t.loaded = changed
	}
	if t.cert == nil {
		return nil, nil, fmt.Errorf("transport: TLS: %w", err)
	}
	return t.cert, t.pool, nil
}

func (t *TLS) changed() (latest time.Time, err error) {
	for _, file := range []string{t.CertFile, t.KeyFile, t.AuthorityFile} {
		info, err := os.Stat(file)
		if err != nil {
			return latest, err
		}
		if info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	return latest, nil
}

func (t *TLS) read() error {
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(t.AuthorityFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate", t.AuthorityFile)
	}
	t.cert, t.pool = &cert, pool
	return nil
}

// server wraps a connection that was accepted.
func (t *TLS) server(ctx context.Context, c net.Conn) (net.Conn, error) {
	cert, pool, err := t.load()
	if err != nil {
		return nil, err
	}
	s := tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	return s, s.HandshakeContext(ctx)
}

// client wraps a connection that was dialled. The authority signs nodes only, so that its signature is what counts and not a host's name:
// nodes move.
func (t *TLS) client(ctx context.Context, c net.Conn) (net.Conn, error) {
	cert, pool, err := t.load()
	if err != nil {
		return nil, err
	}
	s := tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}, InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error { return signed(state, pool) }})
	return s, s.HandshakeContext(ctx)
}

func signed(state tls.ConnectionState, pool *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("transport: TLS: the peer shows no certificate")
	}
	o := x509.VerifyOptions{Roots: pool, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(o)
	return err
}
