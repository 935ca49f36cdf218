// Package errcode is the one table of public errors: code ↔ gRPC status ↔ HTTP status ↔ SQLSTATE ↔ worth a retry. Everything
// that a user may see is an *Error; each edge writes it in its own way.
//
//	return errcode.New(errcode.UnknownColumn, "table %q has no column %q", t, c).WithHint("did you mean %q?", near).At(pos)
//
// The package imports nothing of ours, so that every part of the server may return its errors.
package errcode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/status"
)

// Error is a public error: what, where, and how to mend it.
type Error struct {
	Code       Code
	Message    string // what happened and where; one sentence, no full stop
	Detail     string // more, where one sentence does not do
	Hint       string // how to mend it
	Position   int    // character in the SQL text, from 1; 0 if there is none
	Violations []Violation
	RetryAfter time.Duration // 0 means unknown; only of use if the code is retryable
	cause      error
}

// Violation is one thing that is wrong with a request.
type Violation struct {
	Field   string // path, for example rows[3].values.variant
	Message string
}

// New makes an error with a message. A %w verb keeps its operand as the cause, for errors.Is and for logs.
func New(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// WithDetail sets Detail and returns e.
func (e *Error) WithDetail(format string, args ...any) *Error {
	e.Detail = fmt.Sprintf(format, args...)
	return e
}

// WithHint sets Hint and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// At sets Position and returns e.
func (e *Error) At(position int) *Error {
	e.Position = position
	return e
}

// After sets RetryAfter and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Add appends a violation and returns e.
func (e *Error) Add(field, format string, args ...any) *Error {
	e.Violations = append(e.Violations, Violation{field, fmt.Sprintf(format, args...)})
	return e
}

// Error is code and message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap is the cause, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, &Error{Code: c}) true for every error of code c.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == ""
}

// Retryable says that the same request may succeed later without a change.
func (e *Error) Retryable() bool { return Of(e.Code).Retryable }

// coder is an error of a package that cannot import this one. ErrorCode is the name of a row.
type coder interface {
	error
	ErrorCode() string
}

// From gives the public form of any error, nil for nil. It keeps an *Error of the chain as it is, takes the code of an error
// with a method ErrorCode() string, knows the errors of context and of gRPC, and calls the rest INTERNAL.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if c, ok := errors.AsType[coder](err); ok {
		return &Error{Code: Code(c.ErrorCode()), Message: err.Error(), cause: err}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: Timeout, Message: "the deadline of the request passed", Hint: "allow more time, or ask for less", cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{Code: Canceled, Message: "the request was canceled", cause: err}
	}
	if s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok { // status.FromError would put what wraps it into the message
		return FromStatus(s.GRPCStatus())
	}
	return &Error{Code: Internal, Message: err.Error(), cause: err}
}
