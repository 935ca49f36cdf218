package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quipudb/quipu/client"
)

// writeCertificate writes a self-signed certificate of this machine and its key to dir, and gives the pool that trusts it.
func writeCertificate(t *testing.T, dir, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{"node.crt": {Type: "CERTIFICATE", Bytes: der}, "node.key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return pool
}

func TestEverythingEncrypted(t *testing.T) {
	dir := t.TempDir()
	pool := writeCertificate(t, dir, "first")
	cfg := Config{DataDir: t.TempDir(), Shards: 1, CellMemory: 64 << 20, DiskFree: -1, TLSCert: filepath.Join(dir, "node.crt"), TLSKey: filepath.Join(dir, "node.key"),
		Admin: "root", AdminPassword: "secret"}
	s, err := Serve(t.Context(), cfg, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	addr, err := s.ServePostgres("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "node.crt")

	t.Run("gRPC", func(t *testing.T) {
		c, err := client.Open(t.Context(), "quipus://"+s.Addr.String(), client.WithTLS(&tls.Config{RootCAs: pool}), client.WithPassword("root", "secret"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(t.Context())
		rows, err := c.Query(t.Context(), "SHOW roles")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			if got := rows.Values()[0]; got != "root" {
				t.Errorf("role %v", got)
			}
		}
		if _, err := client.Open(t.Context(), s.Addr.String(), client.WithTLS(&tls.Config{RootCAs: pool}), client.WithPassword("root", "wrong")); !errors.Is(err, &client.Error{Code: "UNAUTHENTICATED"}) {
			t.Errorf("a wrong password: %v", err)
		}
	})
	t.Run("HTTP", func(t *testing.T) {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
		defer c.CloseIdleConnections()
		for user, want := range map[string]int{"root": http.StatusOK, "eve": http.StatusUnauthorized, "": http.StatusUnauthorized} {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.Addr.String()+"/v1/query?sql=SHOW+timezone", nil)
			if user != "" {
				r.SetBasicAuth(user, "secret")
			}
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want || want == http.StatusUnauthorized && len(resp.Header["Www-Authenticate"]) != 2 {
				t.Errorf("%q: %s %v, want %d", user, resp.Status, resp.Header, want)
			}
		}
	})
	t.Run("plain HTTP", func(t *testing.T) {
		resp, err := http.Get("http://" + s.Addr.String() + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "https://") {
			t.Errorf("%s %s", resp.Status, body)
		}
	})
	for name, tc := range map[string]struct{ params, state string }{
		"verify-full":          {"sslmode=verify-full&sslrootcert=" + ca, ""},
		"begins with TLS":      {"sslmode=verify-full&sslnegotiation=direct&sslrootcert=" + ca, ""},
		"bound to certificate": {"sslmode=require&channel_binding=require&sslrootcert=" + ca, ""},
		"not encrypted":        {"sslmode=disable", "28000"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := pgconn.Connect(t.Context(), "postgres://root:secret@"+addr.String()+"/quipu?"+tc.params)
			if err == nil {
				c.Close(t.Context())
			}
			var refused *pgconn.PgError
			if errors.As(err, &refused); (refused == nil) != (tc.state == "") || refused != nil && refused.Code != tc.state || tc.state == "" && err != nil {
				t.Errorf("%v, want SQLSTATE %q", err, tc.state)
			}
		})
	}
	t.Run("new certificate", func(t *testing.T) {
		if err := os.WriteFile(cfg.TLSKey, []byte("half a key"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.ReloadCertificate(); err == nil {
			t.Error("half a key is taken")
		}
		if got := subject(t, s.Addr, pool); got != "first" {
			t.Errorf("after half a key: %s", got)
		}
		second := writeCertificate(t, dir, "second")
		if err := s.ReloadCertificate(); err != nil {
			t.Fatal(err)
		}
		if got := subject(t, s.Addr, second) + subject(t, addr, second); got != "secondsecond" {
			t.Errorf("after the change: %s", got)
		}
	})
}

// subject is that of the certificate which an address shows.
func subject(t *testing.T, addr net.Addr, pool *x509.CertPool) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: pool, NextProtos: []string{"postgresql", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestCertificateWatch: a changed file is read within seconds, without a signal.
func TestCertificateWatch(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, "first")
	synctest.Test(t, func(t *testing.T) {
		c, err := openCertificates(filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key"), debugLog(io.Discard))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.watch(ctx)
		name := func() string {
			leaf, err := x509.ParseCertificate(c.current.Load().Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			return leaf.Subject.CommonName
		}
		time.Sleep(2 * certificatePoll)
		if got := name(); got != "first" {
			t.Errorf("before a change: %s", got)
		}
		if err := os.WriteFile(filepath.Join(dir, "node.crt"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * certificatePoll)
		if got := name(); got != "first" {
			t.Errorf("after half a file: %s", got)
		}
		writeCertificate(t, dir, "second, with a longer name")
		time.Sleep(2 * certificatePoll)
		synctest.Wait()
		if got := name(); got != "second, with a longer name" {
			t.Errorf("after the change: %s", got)
		}
	})
}

// TestDoors: what is missing for an address that is not of loopback is named, and nothing listens on it meanwhile.
func TestDoors(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, "node")
	base := Config{Shards: 1, CellMemory: 64 << 20, DiskFree: -1}
	encrypted := base
	encrypted.TLSCert, encrypted.TLSKey = filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	noKey := base
	noKey.TLSCert = encrypted.TLSCert
	noFile := encrypted
	noFile.TLSKey = filepath.Join(dir, "none")
	for name, tc := range map[string]struct {
		cfg     Config
		address string
		want    string
	}{
		"no certificate": {base, "192.0.2.1:7480", "connections would not be encrypted"},
		"all addresses":  {base, ":0", "connections would not be encrypted"},
		"no role":        {encrypted, "192.0.2.1:7480", "no role exists"},
		"no key":         {noKey, "127.0.0.1:0", "TLS needs a certificate and its key"},
		"no file":        {noFile, "127.0.0.1:0", "does not load"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.DataDir = t.TempDir()
			s, err := Serve(t.Context(), tc.cfg, tc.address)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		encrypted.DataDir = t.TempDir()
		s, err := Serve(t.Context(), encrypted, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.ServePostgres("192.0.2.1:7432"); err == nil || !strings.Contains(err.Error(), "no role exists") {
			t.Errorf("%v", err)
		}
	})
	// With both, only the system says that the address is not of this machine (RFC 5737).
	t.Run("both", func(t *testing.T) {
		encrypted.DataDir, encrypted.Admin, encrypted.AdminPassword = t.TempDir(), "root", "secret"
		if s, err := Serve(t.Context(), encrypted, "192.0.2.1:7480"); err == nil || !strings.Contains(err.Error(), "cannot be served") {
			if err == nil {
				s.Close()
			}
			t.Errorf("%v", err)
		}
	})
}
