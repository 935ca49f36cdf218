package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"google.golang.org/protobuf/encoding/protojson"
)

const copyBuffer = 256 << 10

// serveCopy runs COPY: GET sends what COPY … TO STDOUT writes, POST feeds the body to COPY … FROM STDIN. The data may be of any
// size; each piece of it has a time limit.
func (g *Gateway) serveCopy(w http.ResponseWriter, r *http.Request) {
	req, err := queryOf(r.URL.Query())
	if err != nil {
		writeError(w, r, err)
		return
	}
	r, cancel, bad := timed(r)
	if bad != nil {
		errcode.WriteHTTP(w, r, bad)
		return
	}
	defer cancel()
	switch r.Method {
	case http.MethodGet:
		req.ReadOnly = true
		g.copyOut(w, r, req)
	case http.MethodPost:
		g.copyIn(w, r, req)
	default:
		errcode.WriteHTTP(w, r, routing(r, http.StatusMethodNotAllowed))
	}
}

// copyIn answers with what was counted. Rows before an error in the middle may have been counted, as the error says.
func (g *Gateway) copyIn(w http.ResponseWriter, r *http.Request, req *apiv1.QueryRequest) {
	stream, err := g.query.CopyIn(callMetadata(r))
	if err != nil {
		writeError(w, r, err)
		return
	}
	if err := feed(w, r, req, stream.Send); err != nil {
		writeError(w, r, err)
		return
	}
	end, err := stream.CloseAndRecv()
	if err != nil {
		writeError(w, r, err)
		return
	}
	body, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(end)
	if err != nil {
		writeError(w, r, err)
		return
	}
	if end.Receipt != "" {
		w.Header().Set("Quipu-Receipt", end.Receipt)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n'))
}

// feed sends the body. The server may end the call before it has all; the reason then comes with CloseAndRecv.
func feed(w http.ResponseWriter, r *http.Request, req *apiv1.QueryRequest, send func(*apiv1.CopyInRequest) error) error {
	control := http.NewResponseController(w)
	m := &apiv1.CopyInRequest{Query: req}
	buf := make([]byte, copyBuffer)
	for {
		control.SetReadDeadline(time.Now().Add(bodyTime))
		n, err := io.ReadFull(r.Body, buf)
		m.Data = buf[:n] // Send has encoded it when it returns
		if n > 0 || m.Query != nil {
			if sendErr := send(m); errors.Is(sendErr, io.EOF) {
				return nil
			} else if sendErr != nil {
				return sendErr
			}
		}
		m = &apiv1.CopyInRequest{}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && r.ContentLength < 0:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			// a body of known length ends here too, since ReadFull wanted a full buffer: the next read says whether it was cut
		case err != nil:
			return errcode.New(errcode.Invalid, "the body cannot be read: %w", err)
		}
	}
}

func (g *Gateway) copyOut(w http.ResponseWriter, r *http.Request, req *apiv1.QueryRequest) {
	stream, err := g.query.CopyOut(callMetadata(r), req)
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
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Trailer", "Quipu-Status")
	control := http.NewResponseController(w)
	for {
		control.SetWriteDeadline(time.Now().Add(chunkTime))
		if _, err := w.Write(chunk.Data); err != nil {
			return
		}
		if chunk.End != nil {
			h.Set("Quipu-Status", "OK")
			return
		}
		if chunk, err = stream.Recv(); err != nil {
			control.Flush()
			panic(http.ErrAbortHandler) // the client sees a cut body
		}
	}
}
