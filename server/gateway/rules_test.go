package gateway

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quipudb/quipu/server/access"
)

// TestEveryRouteHasARule: a route without one would answer nobody.
func TestEveryRouteHasARule(t *testing.T) {
	routes := (&Gateway{opts: Options{Metrics: prometheus.NewRegistry()}}).handlers(http.NotFoundHandler())
	for pattern := range routes {
		if access.HTTP[pattern].Kind == access.Unruled {
			t.Errorf("%s has no rule in access.HTTP", pattern)
		}
	}
	for pattern := range access.HTTP {
		if routes[pattern] == nil {
			t.Errorf("access.HTTP has a rule for %s, which is no route", pattern)
		}
	}
}
