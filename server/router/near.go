package router

import (
	"strings"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

func unknownColumn(t *schema.Table, name string) error {
	names := make([]string, len(t.Dims))
	for i := range t.Dims {
		names[i] = t.Dims[i].Name
	}
	e := errcode.New(errcode.UnknownColumn, "table %q has no column %q", t.Name.Table, name)
	if near := nearest(name, names); near != "" {
		return e.WithHint("did you mean %q?", near)
	}
	return e.WithHint("its columns are %s", strings.Join(names, ", "))
}

// nearest is the name that a reader most likely meant, or empty: at most a third of its letters differ.
func nearest(name string, names []string) string {
	best, limit := "", len(name)/3+1
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n), limit); d <= limit {
			best, limit = n, d-1
		}
	}
	return best
}

// distance is the number of letters to insert, drop or change between a and b; anything above limit is only known to be above.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
