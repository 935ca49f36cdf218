package gateway

import (
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// chunkTime is how long a client may take to read one chunk of a result.
const chunkTime = 60 * time.Second

// serveQuery runs one statement and answers as json, ndjson, csv or arrow. The statement comes as the parameter sql, as a form, as plain
// text, or in a JSON body. GET is read-only.
func (g *Gateway) serveQuery(w http.ResponseWriter, r *http.Request) {
	form, err := negotiate(r)
	if err != nil {
		writeError(w, r, err)
		return
	}
	req, err := parseQuery(r)
	if err != nil {
		writeError(w, r, err)
		return
	}
	req.Single = true
	if form == "json" {
		g.queryJSON(w, r, req)
		return
	}
	g.queryRows(w, r, req, form)
}

func (g *Gateway) queryJSON(w http.ResponseWriter, r *http.Request, req *apiv1.QueryRequest) {
	var md metadata.MD
	result, err := g.query.Execute(callMetadata(r), req, grpc.Header(&md))
	if err != nil {
		writeError(w, r, err)
		return
	}
	body, err := (&lines{jsonForm}).Marshal(result)
	if err != nil {
		writeError(w, r, err)
		return
	}
	setHeaders(w, md)
	w.Header().Set("Content-Type", "application/json")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(chunkTime))
	w.Write(body)
}

// queryRows streams a result. An error before the first row is an ordinary answer. After it, ndjson ends with a line
// {"error": …}, csv and arrow with a cut connection; the trailer Quipu-Status is OK only after the last row.
func (g *Gateway) queryRows(w http.ResponseWriter, r *http.Request, req *apiv1.QueryRequest, form string) {
	stream, err := g.query.Query(callMetadata(r), req)
	if err != nil {
		writeError(w, r, err)
		return
	}
	chunk, err := stream.Recv()
	if err != nil {
		writeError(w, r, err)
		return
	}
	h := w.Header()
	rows := newRows(form, chunk.Columns)
	h.Set("Content-Type", rows.contentType())
	h.Set("Quipu-Complete", "trailer")
	h.Set("Trailer", "Quipu-Status, Quipu-Snapshot, Quipu-Staleness-Ms, Quipu-Notice, Quipu-Receipt")
	control := http.NewResponseController(w)
	buf := rows.head(nil)
	for {
		buf = rows.chunk(buf, chunk)
		control.SetWriteDeadline(time.Now().Add(chunkTime))
		if _, err := w.Write(buf); err != nil {
			return // the client went away; the stream ends with the request
		}
		buf = buf[:0]
		if end := chunk.End; end != nil {
			h.Set("Quipu-Status", "OK")
			setHeaders(w, rpc.Footing(end))
			return
		}
		control.Flush()
		if chunk, err = stream.Recv(); err != nil {
			g.failRows(w, r, rows, err)
			return
		}
	}
}

// failRows makes a truncated result visible.
func (g *Gateway) failRows(w http.ResponseWriter, r *http.Request, rows rowForm, err error) {
	if errors.Is(err, io.EOF) {
		err = errcode.New(errcode.Internal, "the result ended without its footing")
	}
	e := errcode.From(err)
	last := rows.fail(e.Problem(r.URL.Path))
	if last == nil {
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // closes the connection inside the chunked body
	}
	w.Header().Set("Quipu-Status", string(e.Code))
	w.Write(last)
}

// parseQuery reads the request in whichever way it was sent.
func parseQuery(r *http.Request) (*apiv1.QueryRequest, error) {
	inURL, err := queryOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		inURL.ReadOnly = true
		return inURL, nil
	case http.MethodPost:
	default:
		return nil, routing(r, http.StatusMethodNotAllowed)
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, errMedia(r)
	}
	if kind == "application/x-www-form-urlencoded" {
		return queryOfForm(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, errcode.New(errcode.Invalid, "the body cannot be read: %w", err)
	}
	switch kind {
	case "application/json", "":
		return queryOfJSON(inURL, body)
	case "text/plain", "application/sql":
		inURL.Sql = string(body)
		return inURL, validText("the body", inURL.Sql)
	}
	return nil, errMedia(r)
}

// queryOfForm reads a form, in the body and the URL.
func queryOfForm(r *http.Request) (*apiv1.QueryRequest, error) {
	if err := r.ParseForm(); err != nil {
		return nil, errcode.New(errcode.Invalid, "the form does not parse: %w", err)
	}
	for name := range r.PostForm {
		if strings.HasPrefix(strings.TrimSpace(name), "{") {
			return nil, errcode.New(errcode.Invalid, "the body looks like JSON and is sent as a form").
				WithHint("send the header Content-Type: application/json")
		}
	}
	return queryOf(r.Form)
}

// queryOfJSON reads a body in JSON. Beside it the URL may hold settings.
func queryOfJSON(inURL *apiv1.QueryRequest, body []byte) (*apiv1.QueryRequest, error) {
	if inURL.Sql != "" || inURL.Database != "" || inURL.MaxRows != 0 || inURL.Args != nil {
		return nil, errcode.New(errcode.Invalid, "a query in JSON has sql, args, maxRows and database in its body, not in the URL").
			WithHint(`send {"sql": "SELECT …", "args": [{"text": "x"}], "maxRows": "10"}`)
	}
	req := &apiv1.QueryRequest{}
	if err := protojson.Unmarshal(body, req); err != nil {
		return nil, errcode.New(errcode.Invalid, "the JSON body is not a query: %w", err).
			WithHint(`send {"sql": "SELECT …", "args": [{"text": "x"}]}`)
	}
	if len(inURL.Settings) > 0 {
		all := inURL.Settings
		maps.Copy(all, req.Settings)
		req.Settings = all
	}
	return req, nil
}

// parameters are those that queries take beside settings.
var parameters = []string{"sql", "arg", "database", "format", "max_rows", "timeout"}

// isSetting tells the name of a setting, which may stand among the parameters, from that of a parameter.
func isSetting(name string) bool {
	return name == "statement_timeout" || strings.HasPrefix(name, "quipu.")
}

// queryOf takes sql, arg (repeated, text), max_rows, database and settings from parameters. A name that it does not know is an error:
// a misspelt one must not be taken for left out.
func queryOf(params map[string][]string) (*apiv1.QueryRequest, error) {
	req := &apiv1.QueryRequest{Sql: firstOf(params["sql"]), Database: firstOf(params["database"])}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		for _, value := range params[name] {
			if err := validText(name, name+value); err != nil {
				return nil, err
			}
		}
		switch {
		case isSetting(name):
			if req.Settings == nil {
				req.Settings = map[string]string{}
			}
			req.Settings[name] = firstOf(params[name])
		case !slices.Contains(parameters, name):
			return nil, errParameter(name)
		}
	}
	for _, a := range params["arg"] {
		req.Args = append(req.Args, &apiv1.Value{Kind: &apiv1.Value_Text{Text: a}})
	}
	if text := firstOf(params["max_rows"]); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return nil, errcode.New(errcode.Invalid, "max_rows %q is not a number of rows", text)
		}
		req.MaxRows = n
	}
	return req, nil
}

func errParameter(name string) error {
	e := errcode.New(errcode.Invalid, "%q is no parameter of a query", name)
	if near, ok := plan.Nearest(name, parameters); ok {
		return e.WithHint("did you mean %q?", near)
	}
	return e.WithHint("there are %s, quipu.… and statement_timeout; other settings go into the header Quipu-Set", strings.Join(parameters, ", "))
}

func firstOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// validText refuses what no protobuf string can hold.
func validText(name, text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	return errcode.New(errcode.Invalid, "%s is not valid UTF-8", name).WithHint("send UTF-8")
}

func errMedia(r *http.Request) error {
	return errcode.New(errcode.UnsupportedMedia, "Content-Type %q is not one that %s takes", r.Header.Get("Content-Type"), r.URL.Path).
		WithHint("send application/json, application/x-www-form-urlencoded or text/plain")
}

// negotiate chooses json, ndjson, csv or arrow by the parameter format, else by Accept.
func negotiate(r *http.Request) (string, error) {
	switch f := r.URL.Query().Get("format"); f {
	case "json", "ndjson", "csv", "arrow":
		return f, nil
	case "":
	default:
		return "", errcode.New(errcode.NotAcceptable, "format %q is not known", f).WithHint("use json, ndjson, csv or arrow")
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if accept == "" {
		return "json", nil
	}
	best, quality := "", 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		if form := formats[kind]; form != "" && q > quality {
			best, quality = form, q
		}
	}
	if best == "" {
		return "", errcode.New(errcode.NotAcceptable, "none of %q is available", accept).
			WithHint("accept application/json, application/x-ndjson, text/csv or application/vnd.apache.arrow.stream")
	}
	return best, nil
}

var formats = map[string]string{
	"*/*": "json", "application/*": "json", "application/json": "json", "application/problem+json": "",
	"application/x-ndjson": "ndjson", "application/jsonl": "ndjson",
	"text/csv": "csv", "text/*": "csv",
	"application/vnd.apache.arrow.stream": "arrow",
}
