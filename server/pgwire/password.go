package pgwire

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Roles says who may log in. Passwords themselves are known to nobody: a verifier proves that the other side knows one.
type Roles interface {
	// Verifier is what the password of a user is proved against; ok is false for one that may not log in.
	Verifier(ctx context.Context, user string) (v Verifier, ok bool, err error)
	// Any is false as long as no role exists; then everybody on this machine is let in.
	Any() bool
	// Attempt asks whether a user may try a password from an address; done, which must be called, says whether one was tried, and
	// whether it was right.
	Attempt(user string, from net.Addr) (done func(tried, right bool), err error)
	// Login is what the session of a user begins with who has proved its password, or was not asked because there was no role.
	Login(ctx context.Context, user string, proved bool) (Login, error)
}

// Login is what a session is allowed, and begins with.
type Login struct {
	Rights         query.Rights // nil: everything is allowed
	Superuser      bool         // is told to the client
	Settings       map[string]string
	ConnectionsMax int // of the user; -1: no bound
}

// Verifier is what SCRAM-SHA-256 keeps of a password.
type Verifier = schema.Verifier

// Names of the mechanisms.
const (
	scramPlain = "SCRAM-SHA-256"
	scramBound = "SCRAM-SHA-256-PLUS" // bound to the certificate of the TLS connection
)

const iterationsDefault = schema.IterationsMin

// authenticate finds out whether the user may log in, and what it may do then.
func (c *conn) authenticate() (err error) {
	if c.s.o.Roles == nil {
		c.login.ConnectionsMax = -1
		return c.letIn()
	}
	proved := c.s.o.Roles.Any()
	if proved {
		err = c.prove()
	} else {
		err = c.letIn()
	}
	if err == nil {
		c.login, err = c.s.o.Roles.Login(c.s.base, c.user, proved)
	}
	return err
}

// letIn is for a server without roles.
func (c *conn) letIn() error {
	if !local(c.net.RemoteAddr()) {
		return errcode.New(errcode.Unauthenticated, "no role exists yet, so that only connections of the same machine are let in").
			WithHint("create a role with a password first, connected from the machine itself")
	}
	return nil
}

// prove asks for the password.
func (c *conn) prove() error {
	if c.s.o.TLS != nil && c.tls == nil {
		return errcode.New(errcode.Unauthenticated, "connection requires SSL").WithHint("connect with sslmode=require, or better verify-full")
	}
	ctx, cancel := context.WithTimeout(c.s.base, c.s.o.StartTimeout)
	defer cancel()
	v, known, err := c.s.o.Roles.Verifier(ctx, c.user)
	if err != nil {
		return err
	}
	if !known {
		v = c.s.decoyOf(c.user)
	}
	done, err := c.s.o.Roles.Attempt(c.user, c.raw.RemoteAddr())
	if err != nil {
		return err
	}
	err = c.scram(v)
	if err == nil && !known { // no proof fits the keys of a decoy, but that rests on chance
		err = errPassword(c.user)
	}
	done(!errors.Is(err, errEnded), err == nil) // a client without a password goes and asks a person for one
	return err
}

func errPassword(user string) error {
	return failure(stateBadPassword, "password authentication failed for user %q", user)
}

// local says that the other end is a program of this machine.
func local(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return a.Network() == "pipe"
}

// decoyOf is a verifier that no password fits, the same for a name each time, so that an unknown user looks like a known one.
func (s *Server) decoyOf(user string) Verifier {
	key := func(what string) []byte {
		m := hmac.New(sha256.New, s.decoy[:])
		m.Write([]byte(what + user))
		return m.Sum(nil)
	}
	return Verifier{Salt: key("salt")[:16], Iterations: iterationsDefault, StoredKey: key("stored"), ServerKey: key("server")}
}

// scram asks for a proof of the password.
func (c *conn) scram(v Verifier) error {
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { // clients leave the name to the startup message
		return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations}, StoredKey: v.StoredKey, ServerKey: v.ServerKey}, nil
	})
	if err != nil {
		return err
	}
	mechanisms := []string{scramPlain}
	binding, bound := c.binding()
	if bound {
		mechanisms = []string{scramBound, scramPlain}
	}
	c.out.send(&pgproto3.AuthenticationSASL{AuthMechanisms: mechanisms})
	first, err := c.ask(pgproto3.AuthTypeSASL)
	if err != nil {
		return err
	}
	m, ok := first.(*pgproto3.SASLInitialResponse)
	if !ok || m.AuthMechanism != scramPlain && (m.AuthMechanism != scramBound || !bound) {
		return errProtocol("client selected an invalid SASL authentication mechanism")
	}
	talk := server.NewConversation()
	if m.AuthMechanism == scramBound {
		talk = server.NewConversationWithChannelBindingRequired(binding)
	} else if bound {
		talk = server.NewConversationWithChannelBinding(binding)
	}
	answer, err := talk.Step(string(m.Data))
	if err != nil {
		return errPassword(c.user)
	}
	c.out.send(&pgproto3.AuthenticationSASLContinue{Data: []byte(answer)})
	second, err := c.ask(pgproto3.AuthTypeSASLContinue)
	if err != nil {
		return err
	}
	r, ok := second.(*pgproto3.SASLResponse)
	if !ok {
		return errProtocol("expected SASL response")
	}
	if answer, err = talk.Step(string(r.Data)); err != nil || !talk.Valid() {
		return errPassword(c.user)
	}
	c.out.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(answer)})
	return nil
}

// ask sends what has gathered and waits for an answer of a kind.
func (c *conn) ask(kind uint32) (pgproto3.FrontendMessage, error) {
	if err := c.out.flush(); err != nil {
		return nil, errEnded
	}
	if err := c.in.SetAuthType(kind); err != nil {
		return nil, err
	}
	m, err := c.in.Receive()
	if err != nil {
		return nil, errEnded // most often a client that found it has no password to give
	}
	return m, nil
}

// binding is the hash of our certificate (RFC 5929, tls-server-end-point), where there is one certificate only.
func (c *conn) binding() (scram.ChannelBinding, bool) {
	cfg := c.encryption
	if c.tls == nil || len(cfg.Certificates) != 1 || cfg.GetCertificate != nil || cfg.GetConfigForClient != nil {
		return scram.ChannelBinding{}, false
	}
	der := cfg.Certificates[0].Certificate[0]
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return scram.ChannelBinding{}, false
	}
	var sum []byte
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h := sha512.Sum384(der)
		sum = h[:]
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h := sha512.Sum512(der)
		sum = h[:]
	case x509.PureEd25519: // RFC 5929 names no hash for it, and clients disagree
		return scram.ChannelBinding{}, false
	default:
		h := sha256.Sum256(der)
		sum = h[:]
	}
	return scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: sum}, true
}
