package rpc

import (
	"context"
	"fmt"
	"math"
	"strconv"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"
)

// Increment is for people and shell scripts: rows by name. If nothing of it was counted it answers with the first refusal as error.
func (s *writeService) Increment(ctx context.Context, req *apiv1.IncrementRequest) (*apiv1.IncrementResponse, error) {
	who := principal(ctx)
	key := req.IdempotencyKey
	if key == "" {
		key = first(ctx, MetaIdempotencyKey)
	}
	if len(key) > router.KeyBytesMax {
		return nil, invalid("idempotency_key", "has %d bytes, the limit is %d", len(key), router.KeyBytesMax)
	}
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	b, err := s.columns(ctx, req)
	if err != nil {
		return nil, err
	}
	b.Principal, b.Key = who, key
	s.metrics.rows.Add(float64(b.Rows))
	result, err := s.backend.Write(ctx, b)
	if err != nil {
		return nil, err
	}
	if len(result.Receipts) == 0 && len(result.Refused) > 0 {
		return nil, result.Refused[0].Err
	}
	grpc.SetHeader(ctx, writeHeader(result))
	return &apiv1.IncrementResponse{Receipt: s.receipt(result), Refused: refusals(result), Replayed: result.Replayed}, nil
}

// columns turns rows into a batch.
func (s *writeService) columns(ctx context.Context, req *apiv1.IncrementRequest) (*router.Batch, error) {
	if n := len(req.Rows); n == 0 || n > router.RowsMax {
		return nil, invalid("rows", "has %d rows, want 1 to %d", n, router.RowsMax)
	}
	p := pivot{rows: len(req.Rows), byName: map[string]int{}}
	b := &router.Batch{
		Table: schema.Name{Database: req.Database, Schema: req.Schema, Table: req.Table},
		Rows:  len(req.Rows), Counts: make([]int64, len(req.Rows)),
	}
	timed := false
	for i, row := range req.Rows {
		if err := p.add(i, row); err != nil {
			return nil, err
		}
		b.Counts[i] = 1
		if row.GetCount() != 0 || row.Count != nil {
			b.Counts[i] = row.GetCount()
		}
		timed = timed || row.GetTime() != nil
	}
	if timed {
		if err := eventTimes(b, req.Rows); err != nil {
			return nil, err
		}
	}
	if err := s.fillDefaults(ctx, b.Table, &p); err != nil {
		return nil, err
	}
	b.Dims = p.dims
	return b, nil
}

// eventTimes wants a time for every row or for none: a mixture of the caller's clock and ours would hide a mistake.
func eventTimes(b *router.Batch, rows []*apiv1.IncrementRow) error {
	b.Events = make([]int64, len(rows))
	for i, row := range rows {
		field := fmt.Sprintf("rows[%d].time", i)
		switch t := row.GetTime(); {
		case t == nil:
			return invalid(field, "is missing, but other rows have one")
		case t.CheckValid() != nil:
			return invalid(field, "is not a time between the years 1 and 9999")
		default:
			b.Events[i] = t.AsTime().UnixMilli()
		}
	}
	return nil
}

// pivot collects rows as columns over dictionaries.
type pivot struct {
	rows   int
	dims   []router.Column
	codes  []map[schema.Value]uint32 // by dimension
	given  []int                     // rows that give the dimension
	byName map[string]int
}

// unset marks a row that does not give a dimension until its default is known.
const unset = math.MaxUint32

func (p *pivot) add(i int, row *apiv1.IncrementRow) error {
	for name, v := range row.GetValues() {
		value, err := category(v)
		if err != nil {
			return errcode.New(errcode.ValueInvalid, "row %d, column %q: %s", i, name, err).
				WithHint("send it as a JSON string").Add(fmt.Sprintf("rows[%d].values.%s", i, name), "%s", err)
		}
		d, ok := p.byName[name]
		if !ok {
			if d = len(p.dims); d == schema.DimensionsMax {
				return invalid(fmt.Sprintf("rows[%d].values", i), "brings the number of columns above %d", schema.DimensionsMax)
			}
			p.byName[name] = d
			p.dims = append(p.dims, router.Column{Name: name, Codes: make([]uint32, p.rows)})
			p.codes, p.given = append(p.codes, map[schema.Value]uint32{}), append(p.given, 0)
			for j := range p.dims[d].Codes {
				p.dims[d].Codes[j] = unset
			}
		}
		p.dims[d].Codes[i] = p.code(d, value)
		p.given[d]++
	}
	return nil
}

// code is that of a value of dimension d, new or known.
func (p *pivot) code(d int, v schema.Value) uint32 {
	c, ok := p.codes[d][v]
	if !ok {
		c = uint32(len(p.dims[d].Dict))
		p.codes[d][v] = c
		p.dims[d].Dict = append(p.dims[d].Dict, v)
	}
	return c
}

// fillDefaults gives rows that leave a dimension out the table's default. It asks for the table only if there are such rows.
func (s *writeService) fillDefaults(ctx context.Context, name schema.Name, p *pivot) error {
	var table *schema.Table
	for d := range p.dims {
		if p.given[d] == p.rows {
			continue
		}
		if table == nil {
			t, err := s.backend.Table(ctx, name)
			if err != nil {
				return err
			}
			table = t
		}
		fill := schema.Null
		if k := table.Dim(p.dims[d].Name); k >= 0 { // the router names columns that the table lacks
			fill = table.Dims[k].Default
		}
		code := p.code(d, fill)
		for i, c := range p.dims[d].Codes {
			if c == unset {
				p.dims[d].Codes[i] = code
			}
		}
	}
	return nil
}

// category is a JSON value as category value.
func category(v *structpb.Value) (schema.Value, error) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return schema.V(k.StringValue), nil
	case *structpb.Value_BoolValue:
		return schema.V(strconv.FormatBool(k.BoolValue)), nil
	case *structpb.Value_NullValue:
		return schema.Null, nil
	case *structpb.Value_NumberValue:
		const exact = 1 << 53 // beyond it JSON numbers are not what the sender wrote
		if n := k.NumberValue; n == math.Trunc(n) && math.Abs(n) <= exact {
			return schema.V(strconv.FormatInt(int64(n), 10)), nil
		}
		return schema.Value{}, fmt.Errorf("the number %v is not a whole one within ±2^53", k.NumberValue)
	}
	return schema.Value{}, fmt.Errorf("a category value is text, a number, a boolean or null")
}
