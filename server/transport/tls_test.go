package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// authority signs certificates of nodes.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nodes"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue writes the files of a node whose peers are signed by trusted.
func (a *authority) issue(t *testing.T, dir string, trusted *authority) *TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	out := &TLS{CertFile: filepath.Join(dir, "node.crt"), KeyFile: filepath.Join(dir, "node.key"), AuthorityFile: filepath.Join(dir, "nodes.crt")}
	for file, text := range map[string][]byte{
		out.CertFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), out.AuthorityFile: trusted.pem,
		out.KeyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}),
	} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestOnlySignedNodesConnect(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	b, addr := open(t, ClusterID{1}, Options{TLS: ours.issue(t, t.TempDir(), ours)})
	served := layer(t, b, Raft, Meta)

	good, _ := open(t, ClusterID{1}, Options{TLS: ours.issue(t, t.TempDir(), ours)})
	dial(t, layer(t, good, Raft, Meta), addr)
	in, err := served.Accept()
	if err != nil {
		t.Fatal(err)
	}
	in.Close()

	stranger, _ := open(t, ClusterID{1}, Options{TLS: theirs.issue(t, t.TempDir(), ours)})
	c, err := layer(t, stranger, Raft, Meta).Dial(raft.ServerAddress(addr), 5*time.Second)
	if err == nil { // TLS 1.3 tells the client of a refusal with the first read
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("a node of another authority was served")
		}
	}
	suspicious, _ := open(t, ClusterID{1}, Options{TLS: ours.issue(t, t.TempDir(), theirs)})
	if _, err := layer(t, suspicious, Raft, Meta).Dial(raft.ServerAddress(addr), 5*time.Second); err == nil {
		t.Fatal("a node trusted a peer of another authority")
	}
	clear, _ := open(t, ClusterID{1}, Options{})
	plain := dial(t, layer(t, clear, Raft, Meta), addr)
	if _, err := plain.Read(make([]byte, 1)); err == nil {
		t.Fatal("a connection in the clear was served")
	}
}

// A renewed certificate, and a renewed authority, count from the next connection on.
func TestCertificatesAreReadAgain(t *testing.T) {
	old, renewed := newAuthority(t), newAuthority(t)
	dirA, dirB := t.TempDir(), t.TempDir()
	b, addr := open(t, ClusterID{1}, Options{TLS: old.issue(t, dirB, old)})
	served := layer(t, b, Raft, Meta)
	a, _ := open(t, ClusterID{1}, Options{TLS: old.issue(t, dirA, old)})
	from := layer(t, a, Raft, Meta)
	dial(t, from, addr)
	if _, err := served.Accept(); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(2 * time.Second)
	for _, dir := range []string{dirA, dirB} {
		renewed.issue(t, dir, renewed)
		for _, name := range []string{"node.crt", "node.key", "nodes.crt"} {
			if err := os.Chtimes(filepath.Join(dir, name), later, later); err != nil {
				t.Fatal(err)
			}
		}
	}
	fresh, _ := open(t, ClusterID{1}, Options{TLS: renewed.issue(t, t.TempDir(), renewed)})
	dial(t, layer(t, fresh, Raft, Meta), addr) // signed by the renewed authority alone
	if _, err := served.Accept(); err != nil {
		t.Fatal(err)
	}
	dial(t, from, addr)
	if _, err := served.Accept(); err != nil {
		t.Fatal(err)
	}
}
