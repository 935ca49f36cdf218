package gateway

import (
	"fmt"
	"net/http"

	"github.com/quipudb/quipu/server/errcode"
)

// live says that the process runs, and nothing about groups: restarting a node does not give it a quorum.
func live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// ready says whether the node serves requests, from memory.
func (g *Gateway) ready(w http.ResponseWriter, r *http.Request) {
	if err := g.opts.Ready(); err != nil {
		errcode.WriteHTTP(w, r, errcode.New(errcode.Unavailable, "not ready: %w", err))
		return
	}
	live(w, r)
}
