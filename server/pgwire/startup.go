package pgwire

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Codes that stand in the place of a protocol version.
const (
	codeCancel = 1234<<16 | 5678
	codeTLS    = 1234<<16 | 5679
	codeGSS    = 1234<<16 | 5680
)

const (
	protocolMajor = 3
	minorMax      = 2
	alpnName      = "postgresql"
	recordTLS     = 0x16 // first byte of a TLS handshake
)

// errEnded ends a connection without a word.
var errEnded = errors.New("pgwire: the connection has ended")

// handshake reads what comes before the first query: encryption, who is there, and the password.
func (c *conn) handshake() error {
	c.net.SetDeadline(time.Now().Add(c.s.o.StartTimeout))
	if err := c.directTLS(); err != nil {
		return err
	}
	askedGSS := false
	for {
		code, body, err := c.readStartup()
		if err != nil {
			return err
		}
		switch {
		case code == codeTLS && c.tls == nil:
			err = c.answerTLS()
		case code == codeGSS && !askedGSS:
			askedGSS = true
			_, err = c.net.Write([]byte{'N'})
		case code == codeCancel:
			if len(body) >= 12 && len(body) <= 8+cancelKeyMax { // code, process id, key
				c.s.interrupt(binary.BigEndian.Uint32(body[4:]), body[8:])
			}
			return errEnded
		case code>>16 == protocolMajor:
			return c.introduce(code, body)
		default:
			return failure(stateUnsupportedProtocol, "unsupported frontend protocol %d.%d: the server supports 3.0 to 3.%d", code>>16, code&0xffff, minorMax)
		}
		if err != nil {
			return err
		}
	}
}

// readStartup reads one message of the kind that has no type, and not a byte more: what follows may be encrypted.
func (c *conn) readStartup() (code uint32, body []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(c.net, head[:]); err != nil {
		return 0, nil, errEnded
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 8 || n > startupBytesMax {
		return 0, nil, errProtocol("invalid length of startup packet: %d", n)
	}
	body = make([]byte, n-4)
	if _, err := io.ReadFull(c.net, body); err != nil {
		return 0, nil, errEnded
	}
	return binary.BigEndian.Uint32(body), body, nil
}

// directTLS looks whether the client begins with TLS and not with a message.
func (c *conn) directTLS() error {
	var first [1]byte
	if _, err := io.ReadFull(c.net, first[:]); err != nil {
		return errEnded
	}
	plain := &replayed{Conn: c.net, first: first[:]}
	c.setNet(plain)
	if first[0] != recordTLS {
		return nil
	}
	if c.s.o.TLS == nil {
		return errEnded
	}
	if err := c.encrypt(); err != nil {
		return err
	}
	if c.tls.NegotiatedProtocol != alpnName {
		return errEnded
	}
	return nil
}

// replayed is a connection of which the first bytes were read already.
type replayed struct {
	net.Conn
	first []byte
}

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.first) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.first)
	r.first = r.first[n:]
	return n, nil
}

func (c *conn) answerTLS() error {
	if c.s.o.TLS == nil {
		_, err := c.net.Write([]byte{'N'})
		return err
	}
	if _, err := c.net.Write([]byte{'S'}); err != nil {
		return err
	}
	return c.encrypt()
}

// encrypt does the TLS handshake within the time of the start.
func (c *conn) encrypt() error {
	t := tls.Server(c.net, c.tlsConfig())
	if err := t.Handshake(); err != nil {
		return errEnded
	}
	state := t.ConnectionState()
	c.tls = &state
	c.setNet(t)
	return nil
}

// tlsConfig is the server's, which may be made for each connection anew; the connection remembers which one it got.
func (c *conn) tlsConfig() *tls.Config {
	c.encryption = c.s.o.TLS
	get := c.s.o.TLS.GetConfigForClient
	if get == nil {
		return c.encryption
	}
	outer := c.s.o.TLS.Clone()
	outer.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		got, err := get(h)
		if err != nil || got == nil {
			return got, err
		}
		c.encryption = withALPN(got)
		return c.encryption, nil
	}
	return outer
}

func withALPN(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	if !slices.Contains(cfg.NextProtos, alpnName) {
		cfg.NextProtos = []string{alpnName}
	}
	return cfg
}

// introduce reads who the client is and what it wants, and authenticates it.
func (c *conn) introduce(version uint32, body []byte) error {
	c.minor = min(version&0xffff, minorMax)
	if c.minor < minorMax {
		c.minor = 0 // 3.1 never was
	}
	binary.BigEndian.PutUint32(body, pgproto3.ProtocolVersion30) // the parameters are the same in all of them
	var m pgproto3.StartupMessage
	if err := m.Decode(body); err != nil {
		return errProtocol("%v", err)
	}
	if len(m.Parameters) > startupParamsMax {
		return failure(stateLimit, "%d startup parameters are more than %d", len(m.Parameters), startupParamsMax)
	}
	var unknown []string
	for name := range m.Parameters {
		if strings.HasPrefix(name, "_pq_.") {
			unknown = append(unknown, name)
			delete(m.Parameters, name)
		}
	}
	if len(unknown) > 0 || version&0xffff > minorMax {
		slices.Sort(unknown)
		c.out.send(&pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: protocolMajor<<16 | c.minor, UnrecognizedOptions: unknown})
	}
	c.user, c.database = m.Parameters["user"], m.Parameters["database"]
	if c.user == "" {
		return failure("28000", "no PostgreSQL user name specified in startup packet")
	}
	if c.database == "" {
		c.database = databaseDefault
	}
	delete(m.Parameters, "user")
	delete(m.Parameters, "database")
	c.wishes = m.Parameters
	c.in = pgproto3.NewBackend(&c.arrivals, nil)
	c.in.SetMaxBodyLen(passwordBytesMax)
	if err := c.authenticate(); err != nil {
		return err
	}
	c.in.SetMaxBodyLen(messageBytesMax)
	c.out.send(&pgproto3.AuthenticationOk{})
	return nil
}

const databaseDefault = "quipu"

// cancelKeyMax bounds the key of a cancel request, as protocol 3.2 does.
const cancelKeyMax = 256
