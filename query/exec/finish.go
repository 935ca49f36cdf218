package exec

import (
	"github.com/quipudb/quipu/server/errcode"
)

func countError(err error) error {
	return errcode.New(errcode.NumericOutOfRange, "the counts of a test add up to more than 18446744073709551615: %w", err)
}
