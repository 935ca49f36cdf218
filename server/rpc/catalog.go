package rpc

import (
	"context"
	"math"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

type catalogService struct {
	apiv1.UnimplementedCatalogServer
	*Server
}

func (s *catalogService) ListTables(ctx context.Context, req *apiv1.ListTablesRequest) (*apiv1.ListTablesResponse, error) {
	tables, err := s.backend.Tables(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListTablesResponse{}
	for _, t := range tables {
		if req.Database == "" || req.Database == t.Name.Database {
			resp.Tables = append(resp.Tables, tableMessage(t))
		}
	}
	return resp, nil
}

func (s *catalogService) GetTable(ctx context.Context, req *apiv1.GetTableRequest) (*apiv1.Table, error) {
	t, err := s.backend.Table(ctx, nameOf(req))
	if err != nil {
		return nil, err
	}
	return tableMessage(t), nil
}

func (s *catalogService) CreateTable(ctx context.Context, req *apiv1.CreateTableRequest) (*apiv1.Table, error) {
	who := principal(ctx)
	t, err := tableOf(req.Table)
	if err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx, s.opts.QueryTimeout)
	defer cancel()
	t, err = s.backend.CreateTable(ctx, who, t, req.IfNotExists)
	if err != nil {
		return nil, err
	}
	return tableMessage(t), nil
}

func (s *catalogService) AlterTable(ctx context.Context, req *apiv1.AlterTableRequest) (*apiv1.Table, error) {
	who := principal(ctx)
	change, err := changeOf(req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx, s.opts.QueryTimeout)
	defer cancel()
	t, err := s.backend.AlterTable(ctx, who, nameOf(req), change)
	if err != nil {
		return nil, err
	}
	return tableMessage(t), nil
}

func (s *catalogService) DropTable(ctx context.Context, req *apiv1.DropTableRequest) (*apiv1.DropTableResponse, error) {
	who := principal(ctx)
	ctx, cancel := deadline(ctx, s.opts.QueryTimeout)
	defer cancel()
	if err := s.backend.DropTable(ctx, who, nameOf(req), req.IfExists); err != nil {
		return nil, err
	}
	return &apiv1.DropTableResponse{}, nil
}

func (s *catalogService) TruncateTable(ctx context.Context, req *apiv1.TruncateTableRequest) (*apiv1.Table, error) {
	who := principal(ctx)
	ctx, cancel := deadline(ctx, s.opts.QueryTimeout)
	defer cancel()
	t, err := s.backend.TruncateTable(ctx, who, nameOf(req))
	if err != nil {
		return nil, err
	}
	return tableMessage(t), nil
}

func nameOf(m interface {
	GetDatabase() string
	GetSchema() string
	GetTable() string
}) schema.Name {
	return schema.Name{Database: m.GetDatabase(), Schema: m.GetSchema(), Table: m.GetTable()}
}

func tableMessage(t *schema.Table) *apiv1.Table {
	m := &apiv1.Table{
		Id: uint64(t.ID), Version: t.Version,
		Database: t.Name.Database, Schema: t.Name.Schema, Table: t.Name.Table,
		PartitionBy: &apiv1.PartitionKey{},
		WindowSec:   int64(t.Window / time.Second), RetentionSec: int64(t.Retention / time.Second),
		MaxFutureSec: int64(t.MaxFuture / time.Second), Measures: uint32(t.Measures),
	}
	for _, d := range t.Dims {
		dim := &apiv1.Dimension{
			Name: d.Name, Type: apiv1.DimensionType(d.Type), NotNull: d.NotNull, Order: d.Order, Cardinality: d.Cardinality,
		}
		if !d.Default.Null {
			dim.DefaultValue = &d.Default.Text
		}
		m.Dimensions = append(m.Dimensions, dim)
	}
	for _, p := range t.PartitionBy {
		m.PartitionBy.Dimensions = append(m.PartitionBy.Dimensions, t.Dims[p].Name)
	}
	return m
}

// tableOf is the inverse of tableMessage and checks the definition, so that a caller learns of mistakes before anything is proposed.
func tableOf(m *apiv1.Table) (*schema.Table, error) {
	if m == nil {
		return nil, invalid("table", "is missing")
	}
	t := &schema.Table{
		Name:     schema.Name{Database: m.Database, Schema: m.Schema, Table: m.Table},
		Measures: uint8(min(max(m.Measures, 1), math.MaxUint8)),
	}
	for _, d := range m.Dimensions {
		t.Dims = append(t.Dims, dimensionOf(d))
	}
	if m.PartitionBy == nil {
		for i := range t.Dims {
			t.PartitionBy = append(t.PartitionBy, i)
		}
	}
	for _, name := range m.GetPartitionBy().GetDimensions() {
		i := t.Dim(name)
		if i < 0 {
			return nil, invalid("table.partition_by", "names %q, which is no dimension of the table", name)
		}
		t.PartitionBy = append(t.PartitionBy, i)
	}
	for _, f := range []struct {
		name string
		sec  int64
		to   *time.Duration
	}{
		{"table.window_sec", m.WindowSec, &t.Window},
		{"table.retention_sec", m.RetentionSec, &t.Retention},
		{"table.max_future_sec", m.MaxFutureSec, &t.MaxFuture},
	} {
		d, err := seconds(f.name, f.sec)
		if err != nil {
			return nil, err
		}
		*f.to = d
	}
	if err := t.Validate(); err != nil {
		return nil, errcode.New(errcode.InvalidOption, "table %q: %w", m.Table, err).Add("table", "%s", err)
	}
	return t, nil
}

func dimensionOf(m *apiv1.Dimension) schema.Dimension {
	d := schema.Dimension{
		Name: m.GetName(), Type: schema.Type(min(max(m.GetType(), 0), math.MaxUint8)), NotNull: m.GetNotNull(), Default: schema.Null,
		Order: m.GetOrder(), Cardinality: m.GetCardinality(),
	}
	if d.Type == 0 {
		d.Type = schema.Text
	}
	if m.GetDefaultValue() != "" || m != nil && m.DefaultValue != nil {
		d.Default = schema.V(m.GetDefaultValue())
	}
	return d
}

func changeOf(req *apiv1.AlterTableRequest) (TableChange, error) {
	var c TableChange
	if req.RetentionSec != nil {
		d, err := seconds("retention_sec", *req.RetentionSec)
		if err != nil {
			return c, err
		}
		c.Retention = &d
	}
	if req.MaxFutureSec != nil {
		d, err := seconds("max_future_sec", *req.MaxFutureSec)
		if err != nil {
			return c, err
		}
		c.MaxFuture = &d
	}
	for _, d := range req.AddDimensions {
		c.AddDims = append(c.AddDims, dimensionOf(d))
	}
	if c.Retention == nil && c.MaxFuture == nil && len(c.AddDims) == 0 {
		return c, errcode.New(errcode.Invalid, "nothing to change in table %q", req.Table).
			WithHint("give retention_sec, max_future_sec or add_dimensions")
	}
	return c, nil
}

// seconds is a length of time that fits a time.Duration.
func seconds(field string, n int64) (time.Duration, error) {
	if n < 0 || n > int64(math.MaxInt64/time.Second) {
		return 0, invalid(field, "is %d, want 0 to %d", n, int64(math.MaxInt64/time.Second))
	}
	return time.Duration(n) * time.Second, nil
}
