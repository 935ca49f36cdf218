package pgwire

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// raw opens a connection and sends words, each four bytes.
func raw(t *testing.T, s *Server, words ...uint32) *client {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	s.ServeConn(theirs)
	var b []byte
	for _, x := range words {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	go ours.Write(b)
	return &client{t, ours, pgproto3.NewFrontend(ours, ours)}
}

func TestStartup(t *testing.T) {
	w := newWorld(t)
	s := w.serve()
	greeting := w.dial(s, "application_name", "test", "TimeZone", "Europe/Berlin", "client_encoding", "UNICODE", "options", `-c statement_timeout=5s --quipu.read_consistency=stale`)
	text := greeting.ready()
	for _, want := range []string{"AuthenticationOk", "ParameterStatus server_version=15.0 (quipu 0.1)", "ParameterStatus TimeZone=UTC",
		"ParameterStatus application_name=test", "BackendKeyData", "ReadyForQuery I"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if got := greeting.ask("SHOW statement_timeout; SET statement_timeout = 0; RESET statement_timeout; SHOW statement_timeout"); strings.Count(got, `DataRow "5s"`) != 2 {
		t.Errorf("a setting of the startup message is not what RESET goes back to:\n%s", got)
	}
	for name, tc := range map[string]struct {
		params []string
		want   string
	}{
		"unknown setting":  {[]string{"nothing", "1"}, "FATAL 42704"},
		"bad value":        {[]string{"statement_timeout", "soon"}, "FATAL 22023"},
		"bad options":      {[]string{"options", "-x"}, "FATAL 22023"},
		"encoding":         {[]string{"client_encoding", "LATIN1"}, "FATAL 22023"},
		"unknown database": {[]string{"database", "other"}, "FATAL 3D000"},
		"no user":          {[]string{"user", ""}, "FATAL 28000"},
		"replication":      {[]string{"replication", "true"}, "FATAL 0A000"},
	} {
		if got := strings.Join(w.dial(s, tc.params...).until("Error"), "\n"); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestStartupPackets(t *testing.T) {
	s := newWorld(t).serve()
	if got := raw(t, s, 8, 2<<16).until("Error"); !strings.Contains(got[0], "FATAL 0A000") {
		t.Error("protocol 2.0:", got)
	}
	if got := raw(t, s, 1<<20, 3<<16).until("Error"); !strings.Contains(got[0], "FATAL 08P01") {
		t.Error("a packet of a megabyte:", got)
	}
	if got := raw(t, s, 9, 3<<16, 0).until("Error"); !strings.Contains(got[0], "FATAL 08P01") {
		t.Error("parameters without an end:", got)
	}
	c := raw(t, s, 8, codeGSS)
	if got := make([]byte, 1); true {
		if _, err := c.net.Read(got); err != nil || got[0] != 'N' {
			t.Errorf("the answer to GSS is %q, %v", got, err)
		}
	}
	askTLS(t, c.net, 'N')
}

// TestNewerProtocol asks for a minor version and an option that do not exist.
func TestNewerProtocol(t *testing.T) {
	w := newWorld(t)
	s := w.serve()
	ours, theirs := net.Pipe()
	defer ours.Close()
	s.ServeConn(theirs)
	body := []byte("\x00\x03\x27\x0fuser\x00ada\x00_pq_.new\x001\x00\x00")
	go ours.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...))
	c := &client{t, ours, pgproto3.NewFrontend(ours, ours)}
	m, err := c.Receive()
	n, ok := m.(*pgproto3.NegotiateProtocolVersion)
	if err != nil || !ok || n.NewestMinorProtocol != pgproto3.ProtocolVersion32 || len(n.UnrecognizedOptions) != 1 {
		t.Fatalf("%#v, %v", m, err)
	}
	for {
		m, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if k, ok := m.(*pgproto3.BackendKeyData); ok {
			if len(k.SecretKey) != 32 {
				t.Errorf("a key of %d bytes", len(k.SecretKey))
			}
			return
		}
	}
}

func TestOptionWords(t *testing.T) {
	got := map[string]string{}
	if err := commandLine(`-c a=1 -cb=two\ words  --c-d=3`, got); err != nil || got["a"] != "1" || got["b"] != "two words" || got["c_d"] != "3" || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}
