package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// selfSigned writes a certificate of this machine and its key, and gives their paths.
func selfSigned(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// run runs a program with more environment and gives what it prints, whether or not it fails.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C.UTF-8", "PGCONNECT_TIMEOUT=10"), env...)
	out, err := cmd.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return string(out)
}

// TestRolesWithPsql goes the way of docs/security.md: the first role from a file, TLS, roles and grants by psql, what is refused and
// how, and the same by the program's own commands.
func TestRolesWithPsql(t *testing.T) {
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("needs psql, of Debian's package postgresql-client")
	}
	dir := t.TempDir()
	cert, key := selfSigned(t, dir, "first")
	password := filepath.Join(dir, "admin.pw")
	if err := os.WriteFile(password, []byte("knots and cords\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	n := startNode(t, t.TempDir(), "--pg-listen", addr, "--tls-cert", cert, "--tls-key", key, "--admin", "root", "--admin-password-file", password)
	host, port, _ := net.SplitHostPort(addr)
	dsn := func(user, more string) string {
		return fmt.Sprintf("host=%s port=%s dbname=quipu user=%s %s", host, port, user, more)
	}
	full := "sslmode=verify-full channel_binding=require sslrootcert=" + cert
	psql := func(user, pw, more, text string) string {
		return run(t, []string{"PGPASSWORD=" + pw}, "psql", "-XAtq", dsn(user, more), "-c", text)
	}
	want := func(what, got, want string) {
		t.Helper()
		if got = strings.TrimSpace(got); got != want && !(strings.HasPrefix(want, "… ") && strings.Contains(got, want[len("… "):])) {
			t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
		}
	}
	want("the first role", psql("root", "knots and cords", full, "SHOW timezone"), "UTC")
	want("a wrong password", psql("root", "knots", full, "SHOW timezone"), `… FATAL:  password authentication failed for user "root"`)
	want("an unknown user", psql("eve", "knots", full, "SHOW timezone"), `… FATAL:  password authentication failed for user "eve"`)
	want("no password", run(t, nil, "psql", "-wXAtq", dsn("root", full), "-c", "SHOW timezone"), "… fe_sendauth: no password supplied")
	want("not encrypted", psql("root", "knots and cords", "sslmode=disable", "SHOW timezone"), "… FATAL:  connection requires SSL")
	want("encrypted, by nobody in particular", psql("root", "knots and cords", "sslmode=require", "SHOW timezone"), "UTC")
	want("another certificate", psql("root", "knots and cords", "sslmode=verify-full sslrootcert="+password, "SHOW timezone"), "… certificate")

	root := func(text string) string { return psql("root", "knots and cords", full, text) }
	for _, text := range []string{
		"CREATE TABLE visits (page text, bought bool)", "INSERT INTO visits VALUES ('a', true), ('a', false), ('b', true)",
		"CREATE ROLE analysts", "CREATE USER ann PASSWORD 'first'", "GRANT analysts TO ann", "GRANT SELECT ON visits TO analysts",
		"ALTER ROLE ann SET statement_timeout = '5s'", "CREATE USER shut PASSWORD 'x' NOLOGIN", "CREATE USER one PASSWORD 'x' CONNECTION LIMIT 0",
	} {
		want(text, root(text), "")
	}
	want("twice", root("CREATE ROLE ann"), "… ERROR:  role \"ann\" already exists")
	want("nobody", root("DROP ROLE nobody"), "… ERROR:  role \"nobody\" does not exist")
	want("the state of both", run(t, []string{"PGPASSWORD=knots and cords"}, "psql", "-XAtq", dsn("root", full), "-v", "VERBOSITY=sqlstate", "-c", "CREATE ROLE ann", "-c", "DROP ROLE nobody"),
		"ERROR:  42710\nERROR:  42704")
	want("a grant to a group", psql("ann", "first", full, "SELECT count(*) FROM visits"), "3")
	want("a setting of the role", psql("ann", "first", full, "SHOW statement_timeout"), "5s")
	want("no grant", psql("ann", "first", full, "INSERT INTO visits VALUES ('c', true)"), "… ERROR:  permission denied for table visits")
	want("no grant for COPY", psql("ann", "first", full, `\copy visits FROM '/dev/null'`), "… ERROR:  permission denied for table visits")
	want("no table", psql("ann", "first", full, "CREATE TABLE mine (x text)"), "… ERROR:  permission denied for schema public")
	want("no administrator", psql("ann", "first", full, "CREATE ROLE bob"), "… ERROR:  permission denied")
	want("no superuser", psql("ann", "first", full, "ALTER ROLE ann SUPERUSER"), "… ERROR:  permission denied to alter role")
	want("no login", psql("shut", "x", full, "SHOW timezone"), `… FATAL:  role "shut" is not permitted to log in`)
	want("no connection left", psql("one", "x", full, "SHOW timezone"), `… FATAL:  too many connections for role "one"`)
	want("its own password", psql("ann", "first", full, "ALTER ROLE ann PASSWORD 'second'"), "")
	want("the old one", psql("ann", "first", full, "SHOW timezone"), `… FATAL:  password authentication failed`)
	want("the new one", psql("ann", "second", full, "SHOW timezone"), "UTC")

	// The program's own commands, over gRPC.
	grpc := []string{"QUIPU_URL=" + n.addr, "QUIPU_TLS_CA=" + cert}
	as := func(user, pw string, args ...string) string {
		return run(t, append([]string{"QUIPU_USER=" + user, "QUIPU_PASSWORD=" + pw}, grpc...), mustBinary(t), args...)
	}
	want("sql with a password", as("ann", "second", "sql", "--format", "csv", "-c", "SELECT count(*) AS n FROM visits"), "n\n3")
	want("sql with a wrong one", as("ann", "third", "sql", "-c", "SHOW timezone"), "… password authentication failed")
	want("a token by who may not", as("ann", "second", "token", "create", "ci", "--role", "ann"), "… permission denied")
	token := strings.TrimSpace(as("root", "knots and cords", "token", "create", "ci", "--role", "ann", "--valid-for", "1 day"))
	if !strings.HasPrefix(token, "quipu_") || strings.Contains(token, "\n") {
		t.Fatalf("the token is %q", token)
	}
	with := append([]string{"QUIPU_TOKEN=" + token}, grpc...)
	want("sql with a token", run(t, with, mustBinary(t), "sql", "--format", "csv", "-c", "SELECT count(*) AS n FROM visits"), "n\n3")
	want("a dropped token", as("root", "knots and cords", "token", "drop", "ci", "--role", "ann"), "")
	want("after that", run(t, with, mustBinary(t), "sql", "-c", "SHOW timezone"), "… the token is not known")

	// A new certificate, on SIGHUP.
	selfSigned(t, dir, "second")
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	var got string
	for range 100 { // each of which connects
		if got = strings.TrimSpace(psql("root", "knots and cords", full, "SHOW timezone")); got == "UTC" {
			break
		}
	}
	want("the new certificate", got, "UTC")
}

// TestOpenNodeSaysSo: without a role the node tells that it is open, and refuses another address than its own.
func TestOpenNodeSaysSo(t *testing.T) {
	got := run(t, nil, mustBinary(t), "serve", "--data-dir", t.TempDir(), "--listen", "0.0.0.0:0", "--pg-listen", "off")
	if !strings.Contains(got, "is not a loopback address") || !strings.Contains(got, "--tls-cert") {
		t.Errorf("it says %q", got)
	}
}
