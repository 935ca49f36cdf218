package pgwire

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestRunContextServesOneStatementThatWaits(t *testing.T) {
	for name, use := range map[string]func(ctx context.Context){
		"Done":      func(ctx context.Context) { ctx.Done() },
		"a child":   func(ctx context.Context) { _, cancel := context.WithCancel(ctx); cancel() },
		"a timeout": func(ctx context.Context) { _, cancel := context.WithTimeout(ctx, time.Minute); cancel() },
		"AfterFunc": func(ctx context.Context) { context.AfterFunc(ctx, func() {})() },
	} {
		c := &conn{s: &Server{base: t.Context()}}
		var first, second context.Context
		c.during(func(ctx context.Context) error { first = ctx; return nil })
		c.during(func(ctx context.Context) error { second = ctx; use(ctx); return nil })
		if first != second || first.Err() == nil {
			t.Errorf("%s: one context serves both: %v; it has ended: %v", name, first == second, first.Err())
		}
		c.during(func(ctx context.Context) error {
			if ctx == second || ctx.Err() != nil {
				t.Errorf("%s: the next statement runs in an ended context", name)
			}
			return nil
		})
	}
}

func TestRunContextEndsWithItsStatement(t *testing.T) {
	c := &conn{s: &Server{base: t.Context()}}
	cause := errors.New("enough")
	c.during(func(ctx context.Context) error {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		c.interrupt(cause)
		if child.Err() == nil || context.Cause(child) != cause {
			t.Errorf("after an interruption the cause is %v", context.Cause(child))
		}
		return nil
	})
	c.interrupt(cause) // comes too late
	c.during(func(ctx context.Context) error {
		if ctx.Err() != nil {
			t.Errorf("an interruption of the last statement ends the next: %v", context.Cause(ctx))
		}
		return nil
	})
}

func TestRunContextEndsWithTheServer(t *testing.T) {
	base, stop := context.WithCancel(t.Context())
	c := &conn{s: &Server{base: base}}
	c.during(func(context.Context) error { return nil })
	stop()
	c.during(func(ctx context.Context) error {
		if ctx.Err() == nil {
			t.Error("a statement outlives the server")
		}
		return nil
	})
}
