package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quipudb/quipu/server/errcode"
)

// slow takes far longer than a millisecond, of which its statement is told.
const slow = "SELECT count(*) FROM generate_series(1, 3000) a(x), generate_series(1, 3000) b(y)"

// TestStatementTimeout: a statement that takes too long is told so by every door, with the bound in the message: 57014 of PostgreSQL, 504 of
// HTTP and not the 499 of a caller who left.
func TestStatementTimeout(t *testing.T) {
	s, err := Serve(t.Context(), Config{DataDir: t.TempDir(), Shards: 1, CellMemory: 64 << 20, DiskFree: -1}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wire, err := s.ServePostgres("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	want := "canceling statement due to statement timeout, which is 1ms"
	for _, accept := range []string{"application/json", "text/csv"} {
		r, _ := http.NewRequest("POST", "http://"+s.Addr.String()+"/v1/query", strings.NewReader(fmt.Sprintf(`{"sql": %q, "settings": {"statement_timeout": "1ms"}}`, slow)))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var p errcode.Problem
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusGatewayTimeout || p.Reason != errcode.StatementTimeout || p.Detail != want || !strings.Contains(p.Hint, "SET statement_timeout") {
			t.Errorf("%s: HTTP %d, %+v", accept, resp.StatusCode, p)
		}
	}
	c, err := pgconn.Connect(t.Context(), "postgres://ada@"+wire.String()+"/quipu?sslmode=disable&statement_timeout=1ms")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), slow).ReadAll()
	e, ok := err.(*pgconn.PgError)
	if !ok || e.Code != "57014" || e.Message != want || e.Hint == "" {
		t.Errorf("%#v", err)
	}
}
