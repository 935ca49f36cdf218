package pgwire

import (
	"errors"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// simple runs the statements of a text, one after the other, up to the first that fails.
func (c *conn) simple(text string) error {
	c.portals.close("")
	return c.answer(c.simpleAll(text))
}

func (c *conn) simpleAll(text string) error {
	list, err := c.s.o.Engine.Parse(text)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		c.out.send(&pgproto3.EmptyQueryResponse{})
		return nil
	}
	for _, st := range list {
		if err := c.executeWhole(st, nil, result{c: c, describe: true}); err != nil {
			return err
		}
	}
	return c.settle()
}
