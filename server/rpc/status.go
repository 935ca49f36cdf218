package rpc

import (
	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode/known"
)

// errorMessage is err as a message, for the places inside a stream where a status cannot stand.
func errorMessage(err error) *apiv1.Error {
	e := known.From(err)
	m := &apiv1.Error{
		Code: string(e.Code), Message: e.Message, Detail: e.Detail, Hint: e.Hint, Position: int32(e.Position),
		Retryable: e.Retryable(), RetryAfterMs: e.RetryAfter.Milliseconds(),
	}
	for _, v := range e.Violations {
		m.Violations = append(m.Violations, &apiv1.Violation{Field: v.Field, Message: v.Message})
	}
	return m
}
