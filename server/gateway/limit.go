package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/quipudb/quipu/server/errcode"
)

// bodyTime is how long a client may take to send a body of limited size.
const bodyTime = 60 * time.Second

type limitKey struct{}

// limit remembers whether a request's body went over its bound, because what reads it turns that error into a text.
type limit struct {
	io.ReadCloser
	max      int64
	exceeded bool
}

func (l *limit) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if e := new(http.MaxBytesError); errors.As(err, &e) {
		l.exceeded = true
	}
	return n, err
}

// limited bounds the body of a request in bytes and time, and the request by its own ?timeout=.
func (g *Gateway) limited(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l := &limit{ReadCloser: http.MaxBytesReader(w, r.Body, g.opts.BodyBytesMax), max: g.opts.BodyBytesMax}
		r.Body = l
		r = r.WithContext(context.WithValue(r.Context(), limitKey{}, l))
		if r.ContentLength > l.max {
			errcode.WriteHTTP(w, r, errBody(r))
			return
		}
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
		r, cancel, err := timed(r)
		if err != nil {
			errcode.WriteHTTP(w, r, err)
			return
		}
		defer cancel()
		next(w, r)
	})
}

// timed gives the request the deadline that its parameter timeout asks for.
func timed(r *http.Request) (*http.Request, context.CancelFunc, *errcode.Error) {
	text := r.URL.Query().Get("timeout")
	if text == "" {
		return r, func() {}, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return r, nil, errcode.New(errcode.Invalid, "timeout %q is not a length of time", text).WithHint("write ?timeout=500ms or ?timeout=10s")
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	return r.WithContext(ctx), cancel, nil
}

func tooLong(r *http.Request) bool {
	l, ok := r.Context().Value(limitKey{}).(*limit)
	return ok && l.exceeded
}

func errBody(r *http.Request) *errcode.Error {
	l := r.Context().Value(limitKey{}).(*limit)
	return errcode.New(errcode.TooLarge, "the body has more than %d bytes", l.max).
		WithHint("send smaller requests, or load data with POST /v1/copy?sql=COPY … FROM STDIN or quipu import")
}
