package client

import (
	"context"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// TableInfo is the definition of a table.
type TableInfo struct {
	ID, Version uint64
	Name        string
	Dimensions  []DimensionInfo
	PartitionBy []string      // the dimensions whose values choose a cell's shard; none means one shard
	Window      time.Duration // 0: the table has no time
	Retention   time.Duration // 0: for ever
}

// DimensionInfo is one dimension of a table. Type is text, int8 or bool.
type DimensionInfo struct {
	Name    string
	Type    string
	NotNull bool
	Default *string  // nil is NULL
	Order   []string // declared order of the values, if there is one
}

var dimensionTypes = map[apiv1.DimensionType]string{
	apiv1.DimensionType_DIMENSION_TYPE_TEXT: "text", apiv1.DimensionType_DIMENSION_TYPE_INT8: "int8",
	apiv1.DimensionType_DIMENSION_TYPE_BOOL: "bool", apiv1.DimensionType_DIMENSION_TYPE_ORDERED: "text",
}

// Tables lists the tables by name.
func (c *Client) Tables(ctx context.Context) ([]TableInfo, error) {
	r, err := c.catalog.ListTables(c.authorize(ctx), &apiv1.ListTablesRequest{})
	var out []TableInfo
	for _, t := range r.GetTables() {
		out = append(out, tableInfo(t))
	}
	return out, fromStatus(err)
}

// DescribeTable is the definition of one table. The error has code UNKNOWN_TABLE if there is none.
func (c *Client) DescribeTable(ctx context.Context, name string) (TableInfo, error) {
	t, err := c.catalog.GetTable(c.authorize(ctx), &apiv1.GetTableRequest{Table: name})
	return tableInfo(t), fromStatus(err)
}

func tableInfo(t *apiv1.Table) TableInfo {
	out := TableInfo{ID: t.GetId(), Version: t.GetVersion(), Name: t.GetTable(), PartitionBy: t.GetPartitionBy().GetDimensions(),
		Window: time.Duration(t.GetWindowSec()) * time.Second, Retention: time.Duration(t.GetRetentionSec()) * time.Second}
	for _, d := range t.GetDimensions() {
		out.Dimensions = append(out.Dimensions, DimensionInfo{Name: d.Name, Type: dimensionTypes[d.Type], NotNull: d.NotNull,
			Default: d.DefaultValue, Order: d.Order})
	}
	return out
}

// ServerInfo says what the server is.
type ServerInfo struct {
	ClusterID, NodeID, Version string
	Shards                     int
}

// Server asks who answers.
func (c *Client) Server(ctx context.Context) (ServerInfo, error) {
	r, err := c.cluster.Info(c.authorize(ctx), &apiv1.ClusterInfoRequest{})
	shards := map[uint32]bool{}
	for _, g := range r.GetShardMap().GetRanges() {
		shards[g.Shard] = true
	}
	return ServerInfo{ClusterID: r.GetClusterId(), NodeID: r.GetNodeId(), Version: r.GetVersion(), Shards: len(shards)}, fromStatus(err)
}
