package client

import (
	"errors"
	"fmt"
	"strings"
)

// Add returns one of these, or ctx's error, and never one of the network.
var (
	ErrFull    = errors.New("quipu: buffer is full: the server takes less than the program counts")
	ErrClosed  = errors.New("quipu: client is closed")
	ErrInvalid = errors.New("quipu: invalid observation")
)

// Error is an answer of the server. Callers test Code, which is stable, and never the text.
type Error struct {
	Code      string // stable, upper snake case, for example SESSION_EXPIRED
	Message   string // what happened and where
	Hint      string // how to mend it; may be empty
	Position  int    // 1-based character position in the SQL text, 0 if none
	Retryable bool
	// Violations names each thing that is wrong with the request.
	Violations []string

	observations int64    // that a refused part stands for
	rows         []uint32 // of the batch, that a refused part stands for; nil means all
}

// Error is the message with its hint.
func (e *Error) Error() string {
	s := "quipu: " + e.Message
	if len(e.Violations) > 0 {
		s += ": " + strings.Join(e.Violations, "; ")
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Is makes errors.Is(err, &Error{Code: "LATE"}) true for every error of that code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Message == "" || t.Message == e.Message)
}

// LostError says what Close or Flush could not account for as counted. All figures are observations.
type LostError struct {
	Refused     int64   // the server refused them and says why in Reasons; they were not counted
	Unknown     int64   // sent without an answer; they may have been counted, once
	Undelivered int64   // never sent; they were not counted
	Reasons     []error // the first few refusals and the last network error
}

// Error is one line with all three figures.
func (e *LostError) Error() string {
	s := fmt.Sprintf("quipu: observations not known to be counted: %d refused, %d of unknown outcome, %d undelivered",
		e.Refused, e.Unknown, e.Undelivered)
	if len(e.Reasons) > 0 {
		s += ": " + e.Reasons[0].Error()
	}
	return s
}

// Unwrap gives the reasons.
func (e *LostError) Unwrap() []error { return e.Reasons }
