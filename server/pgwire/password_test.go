package pgwire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"
)

// people are users with passwords.
type people map[string]Verifier

func (p people) Any() bool { return len(p) > 0 }
func (p people) Attempt(string, net.Addr) (func(tried, right bool), error) {
	return func(bool, bool) {}, nil
}
func (p people) Login(context.Context, string, bool) (Login, error) {
	return Login{ConnectionsMax: -1}, nil
}
func (p people) Verifier(_ context.Context, user string) (Verifier, bool, error) {
	v, ok := p[user]
	return v, ok, nil
}

func verifierOf(tb testing.TB, password string) Verifier {
	c, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		tb.Fatal(err)
	}
	k, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: iterationsDefault})
	if err != nil {
		tb.Fatal(err)
	}
	return Verifier{Salt: []byte(k.Salt), Iterations: k.Iters, StoredKey: k.StoredKey, ServerKey: k.ServerKey}
}

// certificate is one for localhost, and the pool that trusts it.
func certificate(tb testing.TB) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// login answers the questions for a password, with mechanism and binding, and gives the first message that is none of them.
func (c *client) login(password, mechanism string, binding *scram.ChannelBinding) string {
	user, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		c.tb.Fatal(err)
	}
	talk := user.NewConversation()
	if binding != nil {
		talk = user.NewConversationWithChannelBinding(*binding)
	}
	for {
		m, err := c.Receive()
		if err != nil {
			return "closed"
		}
		switch m := m.(type) {
		case *pgproto3.AuthenticationSASL:
			first, err := talk.Step("")
			if err != nil {
				c.tb.Fatal(err)
			}
			c.put(&pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: []byte(first)})
		case *pgproto3.AuthenticationSASLContinue:
			proof, err := talk.Step(string(m.Data))
			if err != nil {
				c.tb.Fatal(err)
			}
			c.put(&pgproto3.SASLResponse{Data: []byte(proof)})
		case *pgproto3.AuthenticationSASLFinal:
			if _, err := talk.Step(string(m.Data)); err != nil {
				return "the server does not know the password: " + err.Error()
			}
		default:
			return show(m)
		}
	}
}

func TestPassword(t *testing.T) {
	w := newWorld(t)
	w.o.Roles = people{"ada": verifierOf(t, "secret")}
	s := w.serve()
	for _, tc := range []struct{ user, password, mechanism, want string }{
		{"ada", "secret", scramPlain, "AuthenticationOk"},
		{"ada", "wrong", scramPlain, `Error FATAL 28P01 "password authentication failed for user \"ada\""`},
		{"bob", "secret", scramPlain, `Error FATAL 28P01 "password authentication failed for user \"bob\""`},
		{"ada", "secret", "PLAIN", `Error FATAL 08P01 "client selected an invalid SASL authentication mechanism"`},
		{"ada", "secret", scramBound, `Error FATAL 08P01 "client selected an invalid SASL authentication mechanism"`},
	} {
		if got := w.dial(s, "user", tc.user).login(tc.password, tc.mechanism, nil); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
}

// TestUnknownUserLooksKnown compares what a stranger can see: the salt of a name stays the same, and the number of rounds.
func TestUnknownUserLooksKnown(t *testing.T) {
	s := newWorld(t).serve()
	a, b, other := s.decoyOf("x"), s.decoyOf("x"), s.decoyOf("y")
	if !bytes.Equal(a.Salt, b.Salt) || bytes.Equal(a.Salt, other.Salt) || a.Iterations != iterationsDefault || len(a.Salt) != 16 {
		t.Errorf("%v %v %v", a, b, other)
	}
}

type remote struct{ net.Conn }

func (remote) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func TestTrustIsForThisMachine(t *testing.T) {
	w := newWorld(t)
	s := w.serve()
	ours, theirs := net.Pipe()
	defer ours.Close()
	s.ServeConn(remote{theirs})
	c := &client{t, ours, pgproto3.NewFrontend(ours, ours)}
	c.put(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "ada"}})
	if got := c.until("Error"); !strings.Contains(got[0], "FATAL 28000") {
		t.Error(got)
	}
}

// TestTLS encrypts by request and directly, with the password bound to the certificate and without.
func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	w := newWorld(t)
	w.o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	w.o.Roles = people{"ada": verifierOf(t, "secret")}
	s := w.serve()
	sum := sha256.Sum256(cert.Certificate[0])
	right := &scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: sum[:]}
	wrong := &scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: bytes.Repeat([]byte{1}, 32)}
	for _, tc := range []struct {
		name, mechanism string
		direct          bool
		binding         *scram.ChannelBinding
		want            string
	}{
		{"by request", scramPlain, false, nil, "AuthenticationOk"},
		{"direct", scramPlain, true, nil, "AuthenticationOk"},
		{"bound", scramBound, false, right, "AuthenticationOk"},
		{"bound to another certificate", scramBound, false, wrong, `Error FATAL 28P01 "password authentication failed for user \"ada\""`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			s.ServeConn(theirs)
			cfg := &tls.Config{RootCAs: pool, ServerName: "localhost"}
			if tc.direct {
				cfg.NextProtos = []string{alpnName}
			} else {
				askTLS(t, ours, 'S')
			}
			enc := tls.Client(ours, cfg)
			c := &client{t, enc, pgproto3.NewFrontend(enc, enc)}
			c.put(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "ada"}})
			if got := c.login("secret", tc.mechanism, tc.binding); got != tc.want {
				t.Fatal(got)
			}
			if strings.HasPrefix(tc.want, "Auth") {
				c.ready()
				if got := c.ask("SELECT 1"); !strings.Contains(got, `DataRow "1"`) {
					t.Error(got)
				}
			}
		})
	}
}

// askTLS sends an SSLRequest and reads the answer.
func askTLS(tb testing.TB, nc net.Conn, want byte) {
	var m [8]byte
	binary.BigEndian.PutUint32(m[:], 8)
	binary.BigEndian.PutUint32(m[4:], codeTLS)
	var got [1]byte
	if _, err := nc.Write(m[:]); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(nc, got[:]); err != nil || got[0] != want {
		tb.Fatalf("the answer to a request for TLS is %q, %v", got, err)
	}
}
