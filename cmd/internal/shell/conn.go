package shell

import (
	"context"
	"io"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/render"
)

// Conn is a connection to a server, over its API or over PostgreSQL's protocol. What SET changes holds for the statements that follow.
type Conn interface {
	// Query runs one statement. When ctx ends, so does the statement, and the connection goes on.
	Query(ctx context.Context, sql string) (Rows, error)
	// CopyIn and CopyOut run COPY … FROM STDIN and COPY … TO STDOUT.
	CopyIn(ctx context.Context, sql string, r io.Reader) (client.Footing, error)
	CopyOut(ctx context.Context, sql string, w io.Writer) (client.Footing, error)
	// State says how far a transaction is: idle, open or failed.
	State() State
	// About names the server, for people.
	About() string
}

// State is that of a transaction.
type State byte

// The states.
const (
	Idle State = iota
	Open
	Failed
)

// Rows is a result that arrives in pieces.
type Rows interface {
	Columns() []render.Column
	Next() bool
	Values() []any // of the current row: nil, int64, float64, string, bool or time.Time; overwritten by Next
	Err() error
	Footing() client.Footing // after Next has returned false
	Close()
}

// api is a connection over the API. The server keeps nothing between requests, so that the settings are kept here.
type api struct {
	client   *client.Client
	about    string
	settings map[string]string
}

// API makes a connection of a client; url names the server.
func API(c *client.Client, url string) Conn {
	return &api{client: c, about: url + " over the API", settings: map[string]string{}}
}

func (a *api) State() State  { return Idle }
func (a *api) About() string { return a.about }

func (a *api) Query(ctx context.Context, sql string) (Rows, error) {
	rows, err := a.client.QueryWith(ctx, a.settings, sql)
	if err != nil {
		return nil, err
	}
	return &apiRows{Rows: rows, settings: a.settings}, nil
}

type apiRows struct {
	*client.Rows
	settings map[string]string
}

func (r *apiRows) Columns() []render.Column {
	var out []render.Column
	for _, c := range r.Rows.Columns() {
		out = append(out, render.Column{Name: c.Name, Numeric: c.Numeric()})
	}
	return out
}

// Footing also keeps what SET has changed, and forgets what RESET has: there the role's own settings, which the server knows, hold again.
func (r *apiRows) Footing() client.Footing {
	f := r.Rows.Footing()
	for k, v := range f.Settings {
		if f.Tag == "RESET" {
			delete(r.settings, k)
			continue
		}
		r.settings[k] = v
	}
	return f
}

func (r *apiRows) Close() { r.Rows.Close() } //nolint: its error is that of the rows
