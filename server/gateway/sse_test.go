package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestEvents relays a scripted stream in virtual time: a heartbeat every 15 s without id, records with line feeds on one line.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httptest.NewRecorder()
		e := events{w: w, control: http.NewResponseController(w)}
		from := make(chan received)
		go func() {
			from <- received{event: &apiv1.ContextEvent{Revision: 4, Gap: true, Record: &apiv1.Record{Name: "a", Values: map[string]string{"k": "x\ny"}}}}
			time.Sleep(31 * time.Second)
			from <- received{event: &apiv1.ContextEvent{Revision: 5}} // only says how far the watch has come
			from <- received{err: status.Error(codes.Unavailable, "gone")}
		}()
		e.relay(httptest.NewRequest("GET", "/v1/contexts:watch", nil), from)
		const beat = "event: heartbeat\ndata: {}\n\n"
		want := "id: 4\nevent: gap\ndata: {\"revision\":\"4\"}\n\n" +
			"id: 4\nevent: context\ndata: RECORD\n\n" + beat + beat +
			"event: error\ndata: PROBLEM\n\n"
		if got := masked(w.Body.String()); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestEventsEnd wants the stream to end with the client and with the edge.
func TestEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, drain := range []bool{false, true} {
			stop := make(chan struct{})
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), drainKey{}, (<-chan struct{})(stop)))
			time.AfterFunc(time.Second, func() {
				if drain {
					close(stop)
				} else {
					cancel()
				}
			})
			start := time.Now()
			w := httptest.NewRecorder()
			e := events{w: w, control: http.NewResponseController(w)}
			e.relay(httptest.NewRequestWithContext(ctx, "GET", "/", nil), nil)
			if d := time.Since(start); d != time.Second || w.Body.Len() != 0 {
				t.Errorf("ended after %v with %q", d, w.Body)
			}
			cancel()
		}
	})
}

// masked replaces the JSON of records and problems, whose spacing protojson varies on purpose.
func masked(s string) string {
	s = regexp.MustCompile(`data: \{ ?"name":.*`).ReplaceAllString(s, "data: RECORD")
	return regexp.MustCompile(`data: \{"type":.*`).ReplaceAllString(s, "data: PROBLEM")
}
