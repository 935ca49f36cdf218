package membership

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// A result that was forwarded is the one that the machine gave, in every field: a new field needs a place in the message.
func TestResultTravelsWhole(t *testing.T) {
	want := &meta.Result{
		Index: 7, Refusal: &fsm.Refusal{Code: fsm.Conflict, Message: "too late"}, Session: meta.Session{ID: 5, Principal: "ann", Durable: true}, Ended: []uint64{3, 4},
		Table: &schema.Table{ID: 9, Version: 2, Measures: 1, Name: schema.Name{Database: "quipu", Schema: "public", Table: "t"}, Retention: time.Hour, Window: time.Minute,
			PartitionBy: []int{0}, Dims: []schema.Dimension{{Name: "a", Type: schema.Text, Default: schema.Null}}},
		Record: &schema.Record{Name: "web", Version: 3, Revision: 6, Values: map[string]string{"a": "1"}, Deleted: true, ModifiedBy: "ann", ModifiedAt: 12},
		Import: &meta.Import{Import: command.Import{ID: "i", Table: 9, Mapping: "m"}, Version: 2, Principal: "ann"},
		Role: &meta.Role{Role: schema.Role{Name: "ann", Login: true, Verifier: schema.Verifier{Iterations: 4096, Salt: []byte("s"), StoredKey: []byte("k"), ServerKey: []byte("v")},
			ValidUntil: 5, ConnectionsMax: 3, Settings: map[string]string{"a": "b"}, MemberOf: []string{"ops"}}, Version: 4},
		Lease: &meta.Lease{Name: "job", Holder: "n1", Fence: 3, TTL: 1000, Deadline: 2000},
	}
	for v, i := reflect.ValueOf(*want), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("field %s of the result is not tested", v.Type().Field(i).Name)
		}
	}
	m, err := EncodeResult(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back peerv1.ProposeMetaResponse
	if err := proto.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	got, err := decodeResult(&back)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
