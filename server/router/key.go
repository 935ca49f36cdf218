package router

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"slices"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/proto/slot"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// KeyRecord is what the home shard of an idempotency key says of it.
type KeyRecord struct {
	ID       uint64
	Done     bool
	Response []byte // of the first request, if Done
	Expires  int64  // Unix milliseconds
}

// KeyReader turns a machine's answer to KeyBegin or KeyFinish into a record or an error. (The router does not know the machine.)
type KeyReader func(answer any) (KeyRecord, error)

// keyHome is the shard that keeps the record of a principal's key.
func keyHome(m *schema.SlotMap, principal, key string) schema.ShardID {
	h := slot.Add(slot.Add(slot.Start(0), slot.HashValue(principal, false)), slot.HashValue(key, false))
	return m.Owner[slot.Finish(h)]
}

// writeKeyed counts a batch once a key: the record is written first, the parts travel under its id, the response is kept with it.
func (r *Router) writeKeyed(ctx context.Context, b *Batch, p *prepared) (*Result, error) {
	home := keyHome(r.o.Meta.View().SlotMap(), b.Principal, b.Key)
	begin := &command.KeyBegin{Principal: b.Principal, Key: b.Key, BodyHash: p.digest(b), MapVersion: r.o.Meta.View().SlotMap().Version}
	answer, err := r.o.Shards.Command(ctx, home, begin)
	if err != nil {
		return nil, err
	}
	rec, err := r.o.Keys(answer)
	if err != nil {
		return nil, err
	}
	if rec.Done {
		return replay(rec.Response)
	}
	res, err := r.deliver(ctx, b, p, command.Part{Kind: command.Key, Session: rec.ID, Seq: 1, KeyShard: home, Expires: rec.Expires})
	if err != nil || res.retryable() {
		return res, err
	}
	response, err := json.Marshal(remember(res))
	if err != nil {
		return nil, err
	}
	finish := &command.KeyFinish{Principal: b.Principal, Key: b.Key, ID: rec.ID, Response: response}
	if _, err := r.o.Shards.Command(ctx, home, finish); err != nil {
		return nil, err
	}
	return res, nil
}

// retryable reports whether some part may succeed later, so that the answer is not final.
func (res *Result) retryable() bool {
	return slices.ContainsFunc(res.Refused, func(f Refusal) bool { return errcode.From(f.Err).Retryable() })
}

// remembered is a Result as its key's record keeps it.
type remembered struct {
	Receipts   []schema.Receipt
	Refused    []rememberedRefusal
	MapVersion uint64
}

type rememberedRefusal struct {
	Shard         schema.ShardID
	Rows          []uint32
	Code, Message string
}

const rememberedRowsMax = 1000

func remember(res *Result) remembered {
	out := remembered{Receipts: res.Receipts, MapVersion: res.MapVersion}
	for _, f := range res.Refused {
		e := errcode.From(f.Err)
		out.Refused = append(out.Refused, rememberedRefusal{f.Shard, f.Rows[:min(len(f.Rows), rememberedRowsMax)], string(e.Code), e.Message})
	}
	return out
}

func replay(response []byte) (*Result, error) {
	var in remembered
	if err := json.Unmarshal(response, &in); err != nil {
		return nil, errcode.New(errcode.Corrupt, "the stored response of the idempotency key does not decode: %w", err)
	}
	res := &Result{Receipts: in.Receipts, MapVersion: in.MapVersion, Replayed: true}
	for _, f := range in.Refused {
		res.Refused = append(res.Refused, Refusal{Shard: f.Shard, Rows: f.Rows, Err: errcode.New(errcode.Code(f.Code), "%s", f.Message)})
	}
	return res, nil
}

// digest identifies the content of a batch, however its dictionaries are made. Times of arrival are not content.
func (p *prepared) digest(b *Batch) (sum [32]byte) {
	h := sha256.New()
	number(h, uint64(p.table.ID), uint64(p.rows))
	for i := range p.rows {
		for d := range p.cols {
			code := uint32(0)
			if p.cols[d].Codes != nil {
				code = p.cols[d].Codes[i]
			}
			v := p.cols[d].Values[code]
			if v.Null {
				number(h, 1<<63)
				continue
			}
			number(h, uint64(len(v.Text)))
			h.Write([]byte(v.Text))
		}
		n := int64(1)
		if p.counts != nil {
			n = p.counts[i]
		}
		number(h, uint64(n))
		if len(b.Events) > 0 {
			number(h, uint64(b.Events[min(i, len(b.Events)-1)]))
		}
	}
	h.Sum(sum[:0])
	return sum
}

func number(h hash.Hash, values ...uint64) {
	var buf [8]byte
	for _, v := range values {
		binary.LittleEndian.PutUint64(buf[:], v)
		h.Write(buf[:])
	}
}
