package command

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/storage/schema"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

func exampleTable() schema.Table {
	return schema.Table{
		ID: 7, Version: 3, Measures: 1,
		Name: schema.Name{Database: "quipu", Schema: "public", Table: "admissions"},
		Dims: []schema.Dimension{
			{Name: "dept", Type: schema.Text, NotNull: true, Default: schema.Null},
			{Name: "size", Type: schema.Ordered, Default: schema.V("s"), Order: []string{"s", "m"}, Cardinality: 9},
		},
		PartitionBy: []int{0}, Window: time.Hour, Retention: 48 * time.Hour, MaxFuture: time.Minute,
	}
}

// examples holds one command of every kind.
func examples() []Command {
	at := Timed{Stamp: 1_700_000_000_000}
	slots := *schema.EvenSlotMap(4)
	return []Command{
		&TermStart{at},
		&Tick{Timed{-5}},
		exampleAdd(),
		&SetTable{at, exampleTable()},
		&DropTable{at, 7, "ann"},
		&DropWindows{at, 7, -3600},
		&ExpireSessions{at, DeadIDs{Watermark: 10, Ranges: []Range{{12, 12}, {14, 20}}}, DeadIDs{Watermark: 3}},
		&KeyBegin{Timed: at, Principal: "ann", Key: "k-1", BodyHash: [32]byte{1, 2}, MapVersion: 1, TTL: 86_400_000},
		&KeyFinish{Timed: at, Principal: "ann", Key: "k-1", ID: 99, Response: []byte("ok")},
		&SetSlots{Timed: SlotsOf(&slots, 2).Timed, Version: 1, Shard: 2, Owned: SlotsOf(&slots, 2).Owned},
		&Bootstrap{Timed: at, ClusterID: [16]byte{1}, Incarnation: 2, Slots: slots},
		&OpenSession{at, "ann", true},
		&KeepAlive{at, []uint64{1, 300, 2}},
		&CloseSession{at, 300, "ann"},
		&CreateTable{at, exampleTable(), "ann"},
		&AlterTable{at, exampleTable(), "ann"},
		&TruncateTable{at, 7, "ann"},
		&SetContext{Timed: at, Name: "web", IfVersion: AnyVersion, Values: map[string]string{"b": "2", "a": "1"}, RevertTo: 4, By: "ann"},
		&PutImport{Timed: at, Principal: "ann", Import: Import{ID: "i1", Table: 7, TableName: "t", FileHash: "ab", Mapping: "a=1", Chunking: "1000", Session: 5, ChunksDone: 3, RowsCounted: 1, RowsRejected: 2, Complete: true}, IfVersion: 4, Again: true},
		&PutNode{at, Node{"n1", "127.0.0.1:7481", "127.0.0.1:7480", "v1", true}},
		&Lease{Timed: at, Op: Renew, Name: "retention", Holder: "n1", Fence: 12, TTL: 10_000},
		&SetNodeState{at, "n1", NodeDraining},
		&SetReplicas{at, 3, []Replica{{"n1", true}, {"n2", false}}},
		&PutRole{at, "root", schema.Role{Name: "ann", Superuser: true, Login: true, Verifier: schema.Verifier{Iterations: 4096,
			Salt: []byte("0123456789abcdef"), StoredKey: []byte("s"), ServerKey: []byte("t")}, ValidUntil: 1_800_000_000_000, ConnectionsMax: -1,
			Settings: map[string]string{"statement_timeout": "5s"}, MemberOf: []string{"analysts", "ops"}}, 3},
		&DropRole{at, "root", "ann"},
		&Grant{Timed: at, By: "root", Revoke: true, Option: true, Privileges: schema.Select | schema.Drop, Tables: []schema.TableID{7, 300}, Roles: []string{"ann", "public"}},
		&PutToken{at, schema.Token{Role: "web", Name: "ci", Hash: [32]byte{1, 31: 2}, Created: 1_700_000_000_000, Expires: 1_800_000_000_000, By: "root"}},
		&DropToken{at, "root", "web", "ci"},
		&Once{at, [16]byte{1, 15: 2}, 300, &OpenSession{Principal: "ann"}},
	}
}

func exampleAdd() *Add {
	b := NewBuilder()
	b.Part(Part{Kind: Ordinary, Session: 17, Home: 2, Seq: 5, AckUpTo: 4, MapVersion: 1})
	b.Part(Part{Kind: Key, Session: 21, Home: 2, Seq: 1, MapVersion: 1, KeyShard: 3, Expires: 1_700_086_400_000})
	g := b.Group(7, 3, []uint32{2, 300})
	c := g.Code(0, "maths", 0)
	for _, cell := range []struct {
		window int64
		codes  []uint32
		delta  int64
	}{{3600, []uint32{1, 300}, 2}, {0, []uint32{c, 0}, 7}, {3600, []uint32{1, 300}, 3}, {3600, []uint32{0, 1}, -1}} {
		if err := g.Add(cell.window, cell.codes, cell.delta); err != nil {
			panic(err)
		}
	}
	data, err := b.Finish(1_700_000_000_000)
	if err != nil {
		panic(err)
	}
	add, err := Decode(data)
	if err != nil {
		panic(err)
	}
	return add.(*Add)
}

// TestGolden holds the format: a frame in a log must read the same in every later release.
func TestGolden(t *testing.T) {
	const name = "testdata/golden.txt"
	var out strings.Builder
	out.WriteString("# One frame of every kind, as in docs/format/commands.md: name, then hexadecimal bytes.\n")
	for _, c := range examples() {
		data, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%v %s\n", c.Kind(), hex.EncodeToString(data))
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the format changed; got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestRoundTrip(t *testing.T) {
	seen := map[Kind]bool{}
	for _, c := range examples() {
		seen[c.Kind()] = true
		data, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data)
		if err != nil {
			t.Fatalf("%v: %v", c.Kind(), err)
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%v: got %+v, want %+v", c.Kind(), got, c)
		}
		if kind, err := Verify(data); kind != c.Kind() || err != nil {
			t.Errorf("Verify = %v, %v, want %v", kind, err, c.Kind())
		}
	}
	for k := range 256 {
		if c := blank(Kind(k)); (c != nil) != seen[Kind(k)] {
			t.Errorf("kind %d has a command but no example, or the other way round", k)
		} else if c != nil && (c.Kind() != Kind(k) || strings.HasPrefix(Kind(k).String(), "kind(")) {
			t.Errorf("kind %d: blank gives %v", k, c.Kind())
		}
	}
}

func reseal(data []byte) []byte {
	body := data[:len(data)-4]
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
}

func TestDecodeRefuses(t *testing.T) {
	good, _ := Encode(&OpenSession{Principal: "ann"})
	change := func(f func([]byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"empty":         {nil, ErrMalformed},
		"short":         {good[:5], ErrMalformed},
		"flipped bit":   {change(func(b []byte) []byte { b[4] ^= 1; return b }), ErrChecksum},
		"flipped sum":   {change(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), ErrChecksum},
		"truncated":     {good[:len(good)-1], ErrChecksum},
		"newer version": {change(func(b []byte) []byte { b[0] = 2; return reseal(b) }), ErrVersion},
		"newer kind":    {change(func(b []byte) []byte { b[1] = 200; return reseal(b) }), ErrKind},
		"tail":          {change(func(b []byte) []byte { return reseal(append(b[:len(b)-4], 0, 0, 0, 0, 0)) }), ErrMalformed},
		"cut payload":   {change(func(b []byte) []byte { return reseal(b[:len(b)-1]) }), ErrMalformed},
		"too large":     {make([]byte, SizeMax+1), ErrSize},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode(tc.data); !errors.Is(err, tc.want) {
				t.Errorf("Decode = %v, want %v", err, tc.want)
			}
		})
	}
}

func TestEncodeRefusesWhatNoLogTakes(t *testing.T) {
	c := &SetTable{Table: exampleTable()}
	for range 1000 {
		c.Table.Dims[1].Order = append(c.Table.Dims[1].Order, strings.Repeat("x", 1000))
	}
	if _, err := Encode(c); !errors.Is(err, ErrSize) {
		t.Errorf("Encode = %v, want ErrSize", err)
	}
}

// TestListsAllocateNoMoreThanTheyCarry claims a huge list in a tiny frame.
func TestListsAllocateNoMoreThanTheyCarry(t *testing.T) {
	for _, kind := range []Kind{KindAdd, KindSetTable, KindKeepAlive, KindExpireSessions, KindSetSlots, KindSetContext, KindPutRole, KindGrant} {
		e := encoder{}
		e.begin(kind, 0)
		for range 12 {
			e.uint(1 << 40)
		}
		data := e.finish()
		n := testing.AllocsPerRun(1, func() {
			if _, err := Decode(data); err == nil {
				t.Errorf("%v: accepted", kind)
			}
		})
		if n > 20 {
			t.Errorf("%v: %v allocations for a frame of %d bytes", kind, n, len(data))
		}
	}
}

func TestSlotsOfCoversTheMap(t *testing.T) {
	m := schema.EvenSlotMap(7)
	m.Owner[0], m.Owner[4095] = 3, 3
	total := 0
	for shard := range schema.ShardID(7) {
		for _, r := range SlotsOf(m, shard).Owned {
			for s := r.From; s <= r.To; s++ {
				total++
				if m.Owner[s] != shard {
					t.Fatalf("slot %d belongs to %d, not %d", s, m.Owner[s], shard)
				}
			}
		}
	}
	if total != schema.Slots {
		t.Errorf("%d slots are owned, want %d", total, schema.Slots)
	}
}
