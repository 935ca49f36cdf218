package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

// Times of event streams.
const (
	heartbeatEvery = 15 * time.Second
	eventTime      = 20 * time.Second // that a client may take to read one event
	reconnectAfter = 2 * time.Second
)

// watch streams changes of contexts as server-sent events: context (a record, with its revision as id), gap (history is
// compacted; the present records follow), heartbeat (without id, every 15 s), error (the last one).
func (g *Gateway) watch(w http.ResponseWriter, r *http.Request) {
	after, err := resumeAfter(r)
	if err != nil {
		writeError(w, r, err)
		return
	}
	select {
	case g.watches <- struct{}{}:
		defer func() { <-g.watches }()
	default:
		writeError(w, r, errcode.New(errcode.Busy, "the node serves %d event streams, which is its limit", g.opts.WatchesMax).
			WithHint("close some, or watch from another node").After(5*time.Second))
		return
	}
	ctx, cancel := context.WithCancel(callMetadata(r))
	defer cancel() // ends the call and with it the goroutine of receive
	stream, err := g.contexts.Watch(ctx, &apiv1.WatchContextsRequest{Prefix: r.URL.Query().Get("prefix"), AfterRevision: after})
	if err == nil {
		_, err = stream.Header() // waits until the server has taken the watch or refused it
	}
	if err != nil {
		writeError(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	e := events{w: w, control: http.NewResponseController(w)}
	e.send(fmt.Sprintf("retry: %d\n\n", reconnectAfter.Milliseconds()))
	e.relay(r, receive(ctx, stream))
}

// resumeAfter is the revision of Last-Event-ID, which a browser sends when it reconnects, else of the parameter after.
func resumeAfter(r *http.Request) (uint64, error) {
	name, text := "Last-Event-ID", r.Header.Get("Last-Event-ID")
	if text == "" {
		name, text = "after", r.URL.Query().Get("after")
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, errcode.New(errcode.Invalid, "%s %q is not a revision", name, text).WithHint("send the id of the last event that you have seen")
	}
	return n, nil
}

// received is an event or the error that ends the stream.
type received struct {
	event *apiv1.ContextEvent
	err   error
}

// receive runs until the stream ends, and waits for the reader of each event until ctx is done.
func receive(ctx context.Context, stream grpc.ServerStreamingClient[apiv1.ContextEvent]) <-chan received {
	out := make(chan received)
	go func() {
		for {
			event, err := stream.Recv()
			select {
			case out <- received{event, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

// events writes one event stream.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	failed  bool
}

// relay ends when the client goes away or the watch does.
func (e *events) relay(r *http.Request, from <-chan received) {
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	drain, _ := r.Context().Value(drainKey{}).(<-chan struct{}) // nil outside an Edge, and then never ready
	for !e.failed {
		select {
		case <-r.Context().Done():
			return
		case <-drain:
			return // the client reconnects, to whoever serves then
		case <-beat.C:
			e.send("event: heartbeat\ndata: {}\n\n")
		case m := <-from:
			if m.err != nil {
				e.fail(r, m.err)
				return
			}
			e.change(m.event)
		}
	}
}

func (e *events) change(m *apiv1.ContextEvent) {
	if m.Gap {
		e.send(fmt.Sprintf("id: %d\nevent: gap\ndata: {\"revision\":\"%d\"}\n\n", m.Revision, m.Revision))
	}
	if m.Record == nil {
		return
	}
	data, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m.Record)
	if err != nil {
		return // a record is plain text and marshals
	}
	e.send(fmt.Sprintf("id: %d\nevent: context\ndata: %s\n\n", m.Revision, oneLine(data)))
}

// fail tells a client that is still there why the stream ends.
func (e *events) fail(r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	data, err := json.Marshal(errcode.From(err).Problem(r.URL.Path))
	if err == nil {
		e.send(fmt.Sprintf("event: error\ndata: %s\n\n", data))
	}
}

func (e *events) send(text string) {
	e.control.SetWriteDeadline(time.Now().Add(eventTime))
	_, err := e.w.Write([]byte(text))
	if err == nil {
		err = e.control.Flush()
	}
	e.failed = e.failed || err != nil
}

// oneLine is data without line feeds, which would end the field. JSON holds them only between tokens.
func oneLine(data []byte) string { return strings.ReplaceAll(string(data), "\n", "") }
