package stats

import (
	"errors"
	"fmt"
)

var (
	// ErrEmpty: there is not one observation, so there is nothing to test.
	ErrEmpty = errors.New("stats: no observations")
	// ErrNegative: a count is below zero.
	ErrNegative = errors.New("stats: count below zero")
	// ErrOverflow: the counts of a table add up to more than 2⁶⁴−1.
	ErrOverflow = errors.New("stats: total above 2^64-1")
	// ErrShape: sizes that should agree do not, or an index lies outside the table.
	ErrShape = errors.New("stats: shape")
	// ErrArgument: a parameter of the question is outside its range.
	ErrArgument = errors.New("stats: argument")
	// ErrEncoding: bytes that are not an encoding of the value asked for, or of an unknown version.
	ErrEncoding = errors.New("stats: encoding")
	// ErrDigest: partials that were computed with different global margins cannot be merged or finished together.
	ErrDigest = errors.New("stats: margins differ")
)

// CountError says which cell of a table has a count that cannot be used. It wraps ErrNegative or ErrOverflow.
type CountError struct {
	Row, Col int // place of the cell; Row is −1 in a one-way table
	Count    int64
	Err      error
}

func (e *CountError) Error() string {
	if e.Row < 0 {
		return fmt.Sprintf("%v: %d in category %d", e.Err, e.Count, e.Col)
	}
	return fmt.Sprintf("%v: %d in row %d, column %d", e.Err, e.Count, e.Row, e.Col)
}

// Unwrap gives ErrNegative or ErrOverflow.
func (e *CountError) Unwrap() error { return e.Err }

// checkLevel refuses a confidence level outside (0, 1).
func checkLevel(level float64) error {
	if level > 0 && level < 1 {
		return nil
	}
	return argumentError("level %v lies outside (0, 1)", level)
}

// shapeError is an ErrShape with what disagreed.
func shapeError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrShape, fmt.Sprintf(format, args...))
}

// argumentError is an ErrArgument with what was out of range.
func argumentError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrArgument, fmt.Sprintf(format, args...))
}
