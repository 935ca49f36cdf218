package router

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage/schema"
)

// View is what this node knows of the cluster's metadata at one revision.
type View interface {
	Table(name schema.Name) *schema.Table // nil if there is none
	Tables() []*schema.Table
	SlotMap() *schema.SlotMap
	Session(id uint64) (s Session, ok bool)
}

// Session is a session that lives, as far as a View knows.
type Session struct {
	Principal string
	Durable   bool
}

// Meta gives the node's view of the metadata.
type Meta interface {
	View() View
	// Refresh waits until the view holds everything acknowledged before the call.
	Refresh(ctx context.Context) error
}

// Pending is a part on its way, here or to another node.
type Pending interface {
	// Wait gives the part's answer. An error that is not of the shard's machine leaves the outcome unknown.
	Wait(ctx context.Context) (replica.Outcome, error)
	// Done is closed when Counted can be asked.
	Done() <-chan struct{}
	// Counted gives, after Done, the outcome of a part that was counted: Wait need not be called then.
	Counted() (replica.Outcome, bool)
}

// Shards reaches the leaders of shards.
type Shards interface {
	// Propose takes a part on its way and does not wait. Wait must be called; until it returns, the part's columns stay as they are.
	Propose(shard schema.ShardID, part *replica.Part) Pending
	// Command proposes a single command and gives the machine's answer.
	Command(ctx context.Context, shard schema.ShardID, c command.Command) (any, error)
	// CatchUp makes the shard apply the definition of the table.
	CatchUp(ctx context.Context, shard schema.ShardID, t *schema.Table) error
}

// Own gives stamps to batches that bring none: they count once each, under a session of the node.
type Own interface {
	Begin(ctx context.Context) (session, seq, ackUpTo uint64, err error)
	End(session, seq uint64)
}

// Options of New; all are needed but Now.
type Options struct {
	Meta   Meta
	Shards Shards
	Own    Own
	Keys   KeyReader
	Now    func() time.Time
}

// Router splits batches and gathers answers. It keeps nothing between calls.
type Router struct{ o Options }

// New makes a router.
func New(o Options) *Router {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Router{o}
}

// Defaults of the catalog key.
const (
	DefaultDatabase = "quipu"
	DefaultSchema   = "public"
)

// FullName fills in what name leaves out.
func FullName(name schema.Name) schema.Name {
	if name.Database == "" {
		name.Database = DefaultDatabase
	}
	if name.Schema == "" {
		name.Schema = DefaultSchema
	}
	return name
}

// Write counts b. An error means that the whole batch was refused and nothing was counted, or, if ctx ended, that the outcome is not known;
// what only a shard could refuse stands in the result.
func (r *Router) Write(ctx context.Context, b *Batch) (*Result, error) {
	if err := b.stampError(); err != nil {
		return nil, err
	}
	table, err := r.table(ctx, b)
	if err != nil {
		return nil, err
	}
	p, err := prepare(b, table, r.o.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	if b.Key != "" {
		return r.writeKeyed(ctx, b, p)
	}
	stamp := command.Part{Kind: command.Ordinary, Session: b.Session, Seq: b.Seq, AckUpTo: b.AckUpTo}
	if b.Session == 0 {
		if stamp.Session, stamp.Seq, stamp.AckUpTo, err = r.o.Own.Begin(ctx); err != nil {
			return nil, err
		}
		defer r.o.Own.End(stamp.Session, stamp.Seq)
	} else if stamp.Kind, err = r.session(ctx, b); err != nil {
		return nil, err
	}
	return r.deliver(ctx, b, p, stamp)
}

func (b *Batch) stampError() error {
	switch {
	case b.Session != 0 && b.Key != "":
		return errcode.New(errcode.Invalid, "a batch has a stamp or an idempotency key, not both")
	case len(b.Key) > KeyBytesMax:
		return errcode.New(errcode.Invalid, "the idempotency key has %d bytes, the limit is %d", len(b.Key), KeyBytesMax)
	case b.Session != 0 && b.Seq == 0:
		return errcode.New(errcode.Invalid, "the stamp has no sequence number").WithHint("number the batches of a session from 1")
	case b.Session == 0 && b.Seq != 0:
		return errcode.New(errcode.Invalid, "the stamp has a sequence number and no session").WithHint("open a session first")
	case b.AckUpTo >= b.Seq && b.Seq != 0:
		return errcode.New(errcode.Invalid, "the stamp acknowledges %d, which is not below its own number %d", b.AckUpTo, b.Seq)
	}
	return nil
}

// table finds the table of b. An error that rests on the catalog is given only after a look at the newest one.
func (r *Router) table(ctx context.Context, b *Batch) (*schema.Table, error) {
	name := FullName(b.Table)
	t, err := findTable(r.o.Meta.View(), name, b)
	if err == nil {
		return t, nil
	}
	if rerr := r.o.Meta.Refresh(ctx); rerr != nil {
		return nil, rerr
	}
	return findTable(r.o.Meta.View(), name, b)
}

func findTable(v View, name schema.Name, b *Batch) (*schema.Table, error) {
	t := v.Table(name)
	if t == nil {
		return nil, unknownTable(v, name)
	}
	if b.TableID != 0 && b.TableID != t.ID {
		return nil, errcode.New(errcode.SchemaChanged, "table %q is not the one that the batch was made for: it was dropped or truncated since", name.Table).
			WithHint("look the table up again")
	}
	if b.TableVersion > t.Version {
		return nil, errcode.New(errcode.SchemaChanged, "table %q has version %d, the batch was made for %d", name.Table, t.Version, b.TableVersion)
	}
	return t, nil
}

func unknownTable(v View, name schema.Name) error {
	var names []string
	for _, t := range v.Tables() {
		names = append(names, t.Name.Table)
	}
	e := errcode.New(errcode.UnknownTable, "there is no table %q", name.Table)
	if near := nearest(name.Table, names); near != "" {
		return e.WithHint("did you mean %q?", near)
	}
	return e.WithHint("create it with CREATE TABLE")
}

// session checks that the session was issued, to this principal, and lives.
func (r *Router) session(ctx context.Context, b *Batch) (command.PartKind, error) {
	s, ok := r.o.Meta.View().Session(b.Session)
	if !ok {
		if err := r.o.Meta.Refresh(ctx); err != nil {
			return 0, err
		}
		s, ok = r.o.Meta.View().Session(b.Session)
	}
	switch {
	case !ok:
		return 0, errcode.New(errcode.SessionExpired, "session %d has expired or was never opened", b.Session).
			WithHint("what was sent under it and not acknowledged may have been counted; open a new session for new batches only")
	case s.Principal != b.Principal:
		return 0, errcode.New(errcode.SessionForeign, "session %d belongs to somebody else", b.Session)
	case s.Durable:
		return command.Durable, nil
	}
	return command.Ordinary, nil
}

// deliver splits p and proposes its parts side by side. If ctx ends the outcome of some part is not known, and there is no result.
func (r *Router) deliver(ctx context.Context, b *Batch, p *prepared, stamp command.Part) (*Result, error) {
	m := r.o.Meta.View().SlotMap()
	stamp.MapVersion = m.Version
	sp := splitters.Get().(*splitter)
	defer splitters.Put(sp) // no proposer looks at a part's rows once Wait has returned
	shares := sp.split(p, m)
	parts := make([]replica.Part, len(shares))
	pending := make([]Pending, len(shares))
	for i, s := range shares {
		parts[i] = p.part(s, stamp)
		pending[i] = r.o.Shards.Propose(s.shard, &parts[i])
	}
	res := &Result{MapVersion: m.Version, Receipts: make([]schema.Receipt, 0, len(shares))}
	for i, s := range shares {
		r.gather(ctx, res, b, p, s, stamp, pending[i])
	}
	if err := ctx.Err(); err != nil && len(res.Refused) > 0 {
		return nil, errcode.From(err)
	}
	return res, nil
}

// gather waits for one share and adds what became of it to res.
func (r *Router) gather(ctx context.Context, res *Result, b *Batch, p *prepared, s share, stamp command.Part, pending Pending) {
	out, err := pending.Wait(ctx)
	if errors.Is(err, replica.ErrBehind) {
		out, err = r.afterCatchUp(ctx, p, s, stamp)
	}
	if err != nil && errors.Is(err, &errcode.Error{Code: errcode.SchemaChanged}) {
		out, err = r.afterAlter(ctx, b, p, s, stamp, err)
	}
	if err == nil {
		res.Receipts = append(res.Receipts, schema.Receipt{Shard: s.shard, Index: out.Index, Duplicate: out.Duplicate})
		return
	}
	res.Refused = append(res.Refused, Refusal{Shard: s.shard, Rows: slices.Clone(s.rows), Err: errcode.From(err)})
}

func (r *Router) afterCatchUp(ctx context.Context, p *prepared, s share, stamp command.Part) (replica.Outcome, error) {
	if err := r.o.Shards.CatchUp(ctx, s.shard, p.table); err != nil {
		return replica.Outcome{}, err
	}
	out, err := r.propose(ctx, p, s, stamp)
	if errors.Is(err, replica.ErrBehind) {
		err = errcode.New(errcode.SchemaChanged, "table %q changed while the batch was on its way", p.table.Name.Table).WithHint("send it again")
	}
	return out, err
}

// afterAlter proposes a share once more if its table was altered since the batch was prepared. Its rows stay: ALTER does not change
// the partition key, and the refusal was not remembered. A table that was dropped or truncated meanwhile is refused for good.
func (r *Router) afterAlter(ctx context.Context, b *Batch, p *prepared, s share, stamp command.Part, refused error) (replica.Outcome, error) {
	if err := r.o.Meta.Refresh(ctx); err != nil {
		return replica.Outcome{}, err
	}
	t := r.o.Meta.View().Table(p.table.Name)
	if t == nil || t.ID != p.table.ID || t.Version <= p.table.Version {
		return replica.Outcome{}, refused
	}
	again, err := prepare(b, t, r.o.Now().UnixMilli())
	if err != nil {
		return replica.Outcome{}, err
	}
	out, err := r.propose(ctx, again, s, stamp)
	if errors.Is(err, replica.ErrBehind) {
		return r.afterCatchUp(ctx, again, s, stamp)
	}
	return out, err
}

// propose takes one share on its way and waits for its answer.
func (r *Router) propose(ctx context.Context, p *prepared, s share, stamp command.Part) (replica.Outcome, error) {
	part := p.part(s, stamp)
	return r.o.Shards.Propose(s.shard, &part).Wait(ctx)
}

// part is the share of p that belongs to one shard. Columns are shared by all parts.
func (p *prepared) part(s share, stamp command.Part) replica.Part {
	stamp.Home = s.shard
	return replica.Part{Stamp: stamp, Table: p.table, Cols: p.cols, Rows: s.rows, Len: s.n,
		Counts: p.counts, Windows: p.windows, Window: p.window}
}
