package router

import (
	"context"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage/schema"
)

// Single is a batch of one row on its way. It has one part, so its answer needs no goroutine to gather parts in: whoever serves many
// of them waits for one and takes the answers of those that came with it.
type Single struct {
	r          *Router
	batch      *Batch
	prepared   *prepared
	share      share
	mapVersion uint64
	part       replica.Part
	pending    Pending
}

// Begin takes b on its way without waiting. It gives nil for a batch that needs Write: one of several rows, without stamp, of a table or
// session that the node does not know yet, or with anything wrong in it. The batch stays as it is until Counted said yes or Wait has
// returned; one of them must be waited for.
func (r *Router) Begin(b *Batch) *Single {
	if b.Rows != 1 || b.Session == 0 || b.stampError() != nil {
		return nil
	}
	v := r.o.Meta.View()
	table, err := findTable(v, FullName(b.Table), b)
	if err != nil {
		return nil
	}
	session, ok := v.Session(b.Session)
	if !ok || session.Principal != b.Principal {
		return nil
	}
	p, err := prepare(b, table, r.o.Now().UnixMilli())
	if err != nil {
		return nil
	}
	stamp := command.Part{Kind: command.Ordinary, Session: b.Session, Seq: b.Seq, AckUpTo: b.AckUpTo}
	if session.Durable {
		stamp.Kind = command.Durable
	}
	m := v.SlotMap()
	stamp.MapVersion = m.Version
	sp := splitters.Get().(*splitter)
	owner := sp.split(p, m)[0].shard
	splitters.Put(sp)
	s := &Single{r: r, batch: b, prepared: p, share: share{shard: owner, n: 1}, mapVersion: m.Version}
	s.part = p.part(s.share, stamp)
	s.pending = r.o.Shards.Propose(owner, &s.part)
	return s
}

// Shard is where the row belongs.
func (s *Single) Shard() schema.ShardID { return s.share.shard }

// MapVersion is that of the shard map by which Shard was found.
func (s *Single) MapVersion() uint64 { return s.mapVersion }

// Done is closed when Counted can be asked.
func (s *Single) Done() <-chan struct{} { return s.pending.Done() }

// Counted gives, after Done, the receipt of a row that was counted. Whatever else became of it is for Wait to find out, which may have
// to propose the row again.
func (s *Single) Counted() (schema.Receipt, bool) {
	out, ok := s.pending.Counted()
	return schema.Receipt{Shard: s.share.shard, Index: out.Index, Duplicate: out.Duplicate}, ok
}

// Wait gives the answer, as Write does.
func (s *Single) Wait(ctx context.Context) (*Result, error) {
	res := &Result{MapVersion: s.mapVersion}
	s.r.gather(ctx, res, s.batch, s.prepared, s.share, s.part.Stamp, s.pending)
	if err := ctx.Err(); err != nil && len(res.Refused) > 0 {
		return nil, errcode.From(err)
	}
	return res, nil
}
