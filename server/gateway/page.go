package gateway

import (
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// page says what is here, to people who open the port in a browser.
func (g *Gateway) page(w http.ResponseWriter, r *http.Request) {
	state := "ready"
	if err := g.opts.Ready(); err != nil {
		state = "not ready: " + err.Error()
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Cache-Control", "no-store")
	if err := page.Execute(w, map[string]string{"Version": g.opts.Version, "State": state, "Host": r.Host}); err != nil {
		g.opts.Logger.Debug("page not sent", "err", err) // the browser went away
	}
}
