package errcode

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
)

// Problem is an error as application/problem+json (RFC 9457) with our extensions.
type Problem struct {
	Type         string            `json:"type"`  // urn:quipu:error:<code>
	Title        string            `json:"title"` // constant for a code
	Status       int               `json:"status"`
	Detail       string            `json:"detail"` // the message
	Instance     string            `json:"instance,omitempty"`
	Code         string            `json:"code"`   // of gRPC, for example INVALID_ARGUMENT
	Reason       Code              `json:"reason"` // stable
	Retryable    bool              `json:"retryable"`
	RetryAfterMS int64             `json:"retryAfterMs,omitempty"`
	Explanation  string            `json:"explanation,omitempty"` // Error.Detail
	Hint         string            `json:"hint,omitempty"`
	Position     int               `json:"position,omitempty"`
	Details      []ProblemViolated `json:"details,omitempty"`
}

// ProblemViolated is one violation of a Problem.
type ProblemViolated struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Problem is e for the resource at instance, a path.
func (e *Error) Problem(instance string) *Problem {
	row := Of(e.Code)
	p := &Problem{
		Type: "urn:quipu:error:" + string(e.Code), Title: row.Title, Status: row.HTTP, Detail: e.Message, Instance: instance,
		Code: grpcName(row), Reason: e.Code, Retryable: row.Retryable, RetryAfterMS: e.RetryAfter.Milliseconds(),
		Explanation: e.Detail, Hint: e.Hint, Position: e.Position,
	}
	for _, v := range e.Violations {
		p.Details = append(p.Details, ProblemViolated(v))
	}
	return p
}

// Error is the inverse of Problem.
func (p *Problem) Error() *Error {
	e := &Error{
		Code: p.Reason, Message: p.Detail, Detail: p.Explanation, Hint: p.Hint, Position: p.Position,
		RetryAfter: millis(p.RetryAfterMS),
	}
	for _, v := range p.Details {
		e.Violations = append(e.Violations, Violation(v))
	}
	return e
}

// WriteHTTP answers r with e as application/problem+json.
func WriteHTTP(w http.ResponseWriter, r *http.Request, e *Error) {
	p := e.Problem(r.URL.Path)
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, e.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	if p.Retryable && (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable) {
		h.Set("Retry-After", strconv.FormatInt(max(1, (p.RetryAfterMS+999)/1000), 10))
	}
	if p.Status == http.StatusUnauthorized {
		h["Www-Authenticate"] = []string{`Bearer realm="quipu"`, `Basic realm="quipu", charset="UTF-8"`}
	}
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n')) // a client that has gone away hears nothing
}

// grpcName is the canonical spelling, INVALID_ARGUMENT for InvalidArgument.
func grpcName(r Row) string {
	if r.GRPC == codes.Canceled {
		return "CANCELLED" // the protocol's spelling has two Ls, Go's has one
	}
	var b strings.Builder
	for i, c := range r.GRPC.String() {
		if i > 0 && c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	return strings.ToUpper(b.String())
}
