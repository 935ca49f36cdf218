package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestComplexStatementsOverHTTP holds that a statement too long or too deep is an error of the request, with its code and place, and the
// node goes on.
func TestComplexStatementsOverHTTP(t *testing.T) {
	s, err := Serve(t.Context(), Config{DataDir: t.TempDir(), Shards: 1, CellMemory: 64 << 20, DiskFree: -1}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	post := func(text string) (int, string) {
		t.Helper()
		resp, err := http.Post("http://"+s.Addr.String()+"/v1/query", "application/json", strings.NewReader(fmt.Sprintf(`{"sql": %q}`, text)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	nested := func(open, core, close string) string {
		return strings.Repeat(open, 10_000) + core + strings.Repeat(close, 10_000)
	}
	for name, tc := range map[string]struct {
		text, code string
		status     int
	}{
		"long":       {"SELECT '" + strings.Repeat("x", 10<<20) + "'", "TOO_LARGE", http.StatusRequestEntityTooLarge},
		"expression": {"SELECT " + nested("(", "1", ")"), "TOO_COMPLEX", http.StatusBadRequest},
		"queries":    {nested("SELECT * FROM (", "SELECT 1", ") x"), "TOO_COMPLEX", http.StatusBadRequest},
	} {
		status, body := post(tc.text)
		if status != tc.status || !strings.Contains(body, tc.code) {
			t.Errorf("%s: %d %.300s", name, status, body)
		}
		if tc.code == "TOO_COMPLEX" && !strings.Contains(body, `"position"`) {
			t.Errorf("%s: no place: %.300s", name, body)
		}
	}
	if status, body := post("SELECT 1"); status != http.StatusOK {
		t.Errorf("after them: %d %s", status, body)
	}
}
