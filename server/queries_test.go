package server

import (
	"strings"
	"testing"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

// TestRefusedPartsTellRows has parts of batches refused whose rows stand for one row of the statement each, and for several.
func TestRefusedPartsTellRows(t *testing.T) {
	for _, c := range []struct {
		times []uint32
		rows  []uint32
		want  string
	}{
		{nil, []uint32{0, 2}, "2 of 3 rows were not counted"},
		{nil, nil, "3 of 3 rows were not counted"},
		{[]uint32{1, 5, 7}, []uint32{0, 2}, "8 of 13 rows were not counted"},
		{[]uint32{1, 5, 7}, []uint32{}, "0 of 13 rows were not counted"},
		{[]uint32{1, 5, 7}, nil, "13 of 13 rows were not counted"},
	} {
		res := &router.Result{Refused: []router.Refusal{{Rows: c.rows, Err: errcode.New(errcode.Invalid, "no")}}, Receipts: []schema.Receipt{{}}}
		e := errcode.From(refusedParts(res, &query.Batch{Counts: []int64{1, 5, 7}, Times: c.times}))
		if !strings.HasPrefix(e.Message, c.want) {
			t.Errorf("%v of rows that stand for %v: %s, want %s", c.rows, c.times, e.Message, c.want)
		}
	}
}
