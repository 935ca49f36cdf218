package rpc

import (
	"encoding/hex"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/protobuf/proto"
)

// TestDocumentedMessage decodes the example of docs/format/wire.md and wants its three observations.
func TestDocumentedMessage(t *testing.T) {
	doc, err := os.ReadFile("../../docs/format/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)hexadecimal:\n\n```\n([0-9a-f\n]+)```").FindSubmatch(doc)
	want := &apiv1.WriteRequest{
		Stamp: &apiv1.Stamp{Session: 9, Seq: 4, AckUpTo: 3},
		Batch: &apiv1.Batch{
			Table: "admissions", Rows: 3,
			Columns: []*apiv1.Column{
				{Name: "dept", Values: []byte("AB"), Lengths: []uint32{1, 1}, Codes: []byte{1, 2, 1}},
				{Name: "gender", Values: []byte("f"), Lengths: []uint32{1}, Codes: []byte{1, 0, 1}},
			},
			Counts: []byte{1, 0, 0xfe, 0xff, 0x2c, 1},
		},
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if found == nil {
		t.Fatalf("the document has no example; it is\n%x", encoded)
	}
	data, err := hex.DecodeString(string(slices.DeleteFunc(found[1], func(b byte) bool { return b == '\n' })))
	if err != nil {
		t.Fatal(err)
	}
	got := &apiv1.WriteRequest{}
	if err := proto.Unmarshal(data, got); err != nil || !proto.Equal(got, want) {
		t.Fatalf("%v, %v\nwant\n%x", err, got, encoded)
	}
	d, err := decodeBatch("p", got)
	if err != nil {
		t.Fatal(err)
	}
	defer d.release()
	var rows []string
	for i, n := range d.batch.Counts {
		row := ""
		for _, c := range d.batch.Dims {
			if v := c.Dict[c.Codes[i]]; v.Null {
				row += "NULL "
			} else {
				row += v.Text + " "
			}
		}
		rows = append(rows, row+strconv.FormatInt(n, 10))
	}
	if !slices.Equal(rows, []string{"A f 1", "B NULL -2", "A f 300"}) {
		t.Errorf("rows %q", rows)
	}
}
