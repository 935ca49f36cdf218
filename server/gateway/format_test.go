package gateway_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/gateway"
)

func TestQueryFormats(t *testing.T) {
	p := open(t, gateway.Options{})
	const (
		csv = "i,f,t,b,at,j,t\r\n" +
			`9223372036854775807,0.1,"a,""b""",true,1970-01-01T00:00:01.5Z,"{""x"":1}",1 day` + "\r\n" +
			",,,,,,\r\n" +
			`-1,-Infinity,"",false,1970-01-01T00:00:00Z,[],00:00:00` + "\r\n"
		ndjson = `{"i":"9223372036854775807","f":0.1,"t":"a,\"b\"","b":true,"at":"1970-01-01T00:00:01.5Z","j":"{\"x\":1}","t_2":"1 day"}` + "\n" +
			`{"i":null,"f":null,"t":null,"b":null,"at":null,"j":null,"t_2":null}` + "\n" +
			`{"i":"-1","f":"-Infinity","t":"","b":false,"at":"1970-01-01T00:00:00Z","j":"[]","t_2":"00:00:00"}` + "\n"
	)
	for name, tc := range map[string]struct {
		a           answer
		contentType string
		body        string
	}{
		"csv":              {p.do("GET", "/v1/query?sql=types&format=csv", ""), "text/csv; charset=utf-8; header=present", csv},
		"csv by Accept":    {p.do("GET", "/v1/query?sql=types", "", "Accept", "text/html, text/csv;q=0.9, application/json;q=0.5"), "text/csv; charset=utf-8; header=present", csv},
		"ndjson":           {p.do("POST", "/v1/query?format=ndjson", `{"sql":"types"}`), "application/x-ndjson", ndjson},
		"ndjson by Accept": {p.do("POST", "/v1/query", `sql=types`, "Content-Type", "application/x-www-form-urlencoded", "Accept", "application/x-ndjson"), "application/x-ndjson", ndjson},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.a.StatusCode != 200 || tc.a.Header.Get("Content-Type") != tc.contentType || tc.a.body != tc.body {
				t.Errorf("%d %s\n%s\nwant\n%s", tc.a.StatusCode, tc.a.Header.Get("Content-Type"), tc.a.body, tc.body)
			}
			if tc.a.Trailer.Get("Quipu-Status") != "OK" || tc.a.Trailer.Get("Quipu-Snapshot") != "2/7/3" || tc.a.Trailer.Get("Quipu-Staleness-Ms") != "4" ||
				tc.a.Trailer.Get("Quipu-Notice") != `WARNING "min_expected<5"` {
				t.Errorf("trailer %v", tc.a.Trailer)
			}
		})
	}
	a := p.do("POST", "/v1/query", "types", "Content-Type", "text/plain")
	p.want(a, 200, `{"name":"i","type":"TYPE_INT8"}`, `["9223372036854775807",0.1,`, `"tag":"SELECT 3"`, `"message":"min_expected<5"`)
	if a.Header.Get("Quipu-Snapshot") != "2/7/3" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.Header)
	}
	a = p.do("POST", "/v1/query", `{"sql":"insert"}`)
	p.want(a, 200, `"tag":"INSERT 0 1"`)
	if a.Header.Get("Quipu-Receipt") != "0:5" {
		t.Errorf("headers %v", a.Header)
	}
	p.want(p.do("GET", "/v1/query?sql=args&arg=x&arg=y", ""), 200, `"rows":[["x"],["y"]]`)
	p.want(p.do("GET", "/v1/query?sql=settings", "", "Quipu-Read", "stale=2s"), 200, `[["stale"],["2s"]]`)
	if a = p.do("POST", "/v1/query?format=csv", `{"sql":"insert"}`); a.StatusCode != 200 || a.Trailer.Get("Quipu-Receipt") != "0:5" {
		t.Errorf("%d, trailer %v", a.StatusCode, a.Trailer)
	}
	if bad := p.problem(p.do("POST", "/v1/query", `{"sql":"bad"}`), errcode.SyntaxError); bad.Position != 3 || bad.Hint == "" {
		t.Errorf("%+v", bad)
	}
	p.problem(p.do("GET", "/v1/query?sql=rows%205&max_rows=4", ""), errcode.RowLimit)
	p.problem(p.do("GET", "/v1/query?sql=rows%205&max_rows=x", ""), errcode.Invalid)
}

// TestArrow looks at the frame; integration/arrow reads such streams with Arrow's own library.
func TestArrow(t *testing.T) {
	p := open(t, gateway.Options{})
	for _, a := range []answer{
		p.do("GET", "/v1/query?sql=types&format=arrow", ""),
		p.do("GET", "/v1/query?sql=types", "", "Accept", "application/vnd.apache.arrow.stream"),
		p.do("POST", "/v1/query?format=arrow", `{"sql":"insert"}`), // no columns: a stream nevertheless
	} {
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/vnd.apache.arrow.stream" || a.Trailer.Get("Quipu-Status") != "OK" {
			t.Errorf("%d, headers %v, trailer %v", a.StatusCode, a.Header, a.Trailer)
		}
		if !strings.HasPrefix(a.body, "\xff\xff\xff\xff") || !strings.HasSuffix(a.body, "\xff\xff\xff\xff\x00\x00\x00\x00") {
			t.Errorf("no stream from its beginning to its end mark: %q", a.body)
		}
	}
}

func TestSettingsOfARequest(t *testing.T) {
	p := open(t, gateway.Options{})
	for name, a := range map[string]answer{
		"parameters":    p.do("GET", "/v1/query?sql=settings&quipu.read_consistency=stale&quipu.max_staleness=2s", ""),
		"form":          p.do("POST", "/v1/query", "sql=settings&quipu.read_consistency=stale&quipu.max_staleness=2s", "Content-Type", "application/x-www-form-urlencoded"),
		"beside JSON":   p.do("POST", "/v1/query?quipu.read_consistency=stale&quipu.max_staleness=9s", `{"sql":"settings","settings":{"quipu.max_staleness":"2s"}}`),
		"one header":    p.do("GET", "/v1/query?sql=settings", "", "Quipu-Set", "quipu.read_consistency=stale; quipu.max_staleness = 2s;"),
		"header behind": p.do("GET", "/v1/query?sql=settings", "", "Quipu-Set", "quipu.read_consistency=strict", "Quipu-Read", "stale=2s"),
		"text":          p.do("POST", "/v1/query?quipu.read_consistency=stale&quipu.max_staleness=2s", "settings", "Content-Type", "text/plain"),
	} {
		t.Run(name, func(t *testing.T) {
			p := *p
			p.T = t
			p.want(a, 200, `[["stale"],["2s"]]`)
		})
	}
}

func TestLongResultsStream(t *testing.T) {
	p := open(t, gateway.Options{})
	a := p.do("GET", "/v1/query?sql=rows%205000&format=csv", "")
	if n := strings.Count(a.body, "\n"); n != 5001 || a.Trailer.Get("Quipu-Status") != "OK" {
		t.Errorf("%d lines, trailer %v", n, a.Trailer)
	}
}

// TestFailureInTheMiddleIsVisible wants each form to show that the result is not whole.
func TestFailureInTheMiddleIsVisible(t *testing.T) {
	p := open(t, gateway.Options{})
	a := p.do("GET", "/v1/query?sql=fail%203000&format=ndjson", "")
	lines := strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, `{"error":{`) || !strings.Contains(last, "SNAPSHOT_TOO_OLD") {
		t.Errorf("last line %s", last)
	}
	if got := a.Trailer.Get("Quipu-Status"); got != "SNAPSHOT_TOO_OLD" {
		t.Errorf("Quipu-Status %q", got)
	}
	for _, form := range []string{"csv", "arrow"} {
		resp, err := http.Get(p.url + "/v1/query?sql=fail%203000&format=" + form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("reading a %s that failed: %v, want an unexpected end", form, err)
		}
	}
	p.problem(p.do("GET", "/v1/query?sql=fail%203&format=csv", ""), errcode.SnapshotTooOld) // nothing had been sent yet
}
