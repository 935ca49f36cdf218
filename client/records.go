package client

import (
	"context"
	"iter"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// Record is one version of a metadata context: a named record that steers collection, for example its sample rate.
type Record struct {
	Name       string
	Version    uint64 // from 1, raised by one at every change
	Revision   uint64 // position of the change among all changes of metadata
	Values     map[string]string
	Deleted    bool
	ModifiedBy string
	ModifiedAt time.Time
}

func record(r *apiv1.Record) Record {
	return Record{Name: r.GetName(), Version: r.GetVersion(), Revision: r.GetRevision(), Values: r.GetValues(), Deleted: r.GetDeleted(),
		ModifiedBy: r.GetModifiedBy(), ModifiedAt: time.UnixMilli(r.GetModifiedAtMs()).UTC()}
}

// Context is a handle on the metadata context called name.
func (c *Client) Context(name string) *Context { return &Context{c: c, name: name} }

// Context reads and changes one metadata context. (It has nothing to do with package context.)
type Context struct {
	c    *Client
	name string
}

// Get is the present record, read linearizably. The error has code NOT_FOUND if there is none.
func (x *Context) Get(ctx context.Context) (Record, error) {
	r, err := x.c.records.Get(x.c.authorize(ctx), &apiv1.GetContextRequest{Name: x.name})
	return record(r), fromStatus(err)
}

// CompareAndSet replaces the values if the record still has version (0: if there is none). The error has code CONFLICT if not.
func (x *Context) CompareAndSet(ctx context.Context, version uint64, values map[string]string) (Record, error) {
	r, err := x.c.records.Set(x.c.authorize(ctx), &apiv1.SetContextRequest{Name: x.name, IfVersion: &version, Values: values})
	return record(r), fromStatus(err)
}

// Revert writes the values of an earlier version as the next one, if the record still has version. The error has code NOT_FOUND if that
// version is not kept any more.
func (x *Context) Revert(ctx context.Context, version, to uint64) (Record, error) {
	r, err := x.c.records.Revert(x.c.authorize(ctx), &apiv1.RevertContextRequest{Name: x.name, IfVersion: &version, ToVersion: to})
	return record(r), fromStatus(err)
}

// Delete marks the record as deleted if it still has version.
func (x *Context) Delete(ctx context.Context, version uint64) (Record, error) {
	r, err := x.c.records.Delete(x.c.authorize(ctx), &apiv1.DeleteContextRequest{Name: x.name, IfVersion: &version})
	return record(r), fromStatus(err)
}

// History lists the versions that are kept, newest first.
func (x *Context) History(ctx context.Context) ([]Record, error) {
	r, err := x.c.records.History(x.c.authorize(ctx), &apiv1.ContextHistoryRequest{Name: x.name})
	var out []Record
	for _, one := range r.GetRecords() {
		out = append(out, record(one))
	}
	return out, fromStatus(err)
}

// Contexts lists the present records whose names begin with prefix, by name.
func (c *Client) Contexts(ctx context.Context, prefix string) ([]Record, error) {
	var out []Record
	for token := ""; ; {
		r, err := c.records.List(c.authorize(ctx), &apiv1.ListContextsRequest{Prefix: prefix, PageSize: 1000, PageToken: token})
		if err != nil {
			return nil, fromStatus(err)
		}
		for _, one := range r.Records {
			out = append(out, record(one))
		}
		if token = r.NextPageToken; token == "" {
			return out, nil
		}
	}
}

// Event is one change of a metadata context.
type Event struct {
	Record   Record
	Revision uint64
	Gap      bool // changes before this event are no longer known; the records that follow are the present ones
}

// WatchContexts yields every change after revision (0: the present records first) of contexts whose names begin with prefix, once and
// in order. It reconnects by itself and goes on where it stopped. It ends with ctx or with an error that is not worth a retry.
func (c *Client) WatchContexts(ctx context.Context, prefix string, revision uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for backoff := backoffMin; ; backoff = min(2*backoff, backoffMax) {
			before := revision
			err := c.watchOnce(ctx, prefix, &revision, yield)
			switch {
			case err == nil:
				return
			case ctx.Err() != nil:
				yield(Event{}, ctx.Err())
				return
			}
			if e, ok := fromStatus(err).(*Error); ok && !e.Retryable && e.Code != "UNAVAILABLE" {
				yield(Event{}, e)
				return
			}
			if revision != before {
				backoff = backoffMin
			}
			sleep(ctx, backoff)
		}
	}
}

// watchOnce follows one stream. Nil means that the consumer has had enough.
func (c *Client) watchOnce(ctx context.Context, prefix string, revision *uint64, yield func(Event, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := c.records.Watch(c.authorize(ctx), &apiv1.WatchContextsRequest{Prefix: prefix, AfterRevision: *revision})
	if err != nil {
		return err
	}
	for {
		e, err := st.Recv()
		if err != nil {
			return err
		}
		*revision = e.Revision
		if e.Record == nil && !e.Gap {
			continue
		}
		if !yield(Event{Record: record(e.Record), Revision: e.Revision, Gap: e.Gap}, nil) {
			return nil
		}
	}
}
