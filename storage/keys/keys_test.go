package keys

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"testing"
)

func TestGolden(t *testing.T) {
	for _, tc := range []struct {
		key  Key
		want string
	}{
		{Key{Kind: Meta, Name: []byte("applied")}, "01" + hex.EncodeToString([]byte("applied"))},
		{Key{Kind: Table, Table: 7}, "100000000000000007"},
		{Key{Kind: Tally, Table: 7}, "110000000000000007"},
		{Key{Kind: Dict, Table: 7, Dim: 2, Code: 513}, "2000000000000000070200000201"},
		{Key{Kind: Window, Table: 7, Window: -1}, "3000000000000000077fffffffffffffff"},
		{Key{Kind: Live, Table: 7, Window: 0, Generation: 3, Block: 9}, "400000000000000007800000000000000000000000000000030000000000000009"},
		{Key{Kind: Block, Table: 7, Window: 3600, Generation: 3, Block: 9}, "500000000000000007800000000000" + "0e1000000000000000030000000000000009"},
		{Key{Kind: Row, Name: []byte{0xff}}, "60ff"},
	} {
		if got := hex.EncodeToString(tc.key.Bytes()); got != tc.want {
			t.Errorf("%+v = %s, want %s", tc.key, got, tc.want)
		}
	}
}

func TestOrderOfWindows(t *testing.T) {
	windows := []int64{math.MinInt64, -3600, -1, 0, 1, 3600, math.MaxInt64}
	var all [][]byte
	for _, w := range windows {
		all = append(all, Key{Kind: Window, Table: 1, Window: w}.Bytes())
	}
	if !slices.IsSortedFunc(all, bytes.Compare) {
		t.Fatalf("keys of rising windows do not rise: %x", all)
	}
}

func TestRangesHoldTheirKeysOnly(t *testing.T) {
	in := func(r Range, k Key) bool {
		b := k.Bytes()
		return bytes.Compare(b, r.Start) >= 0 && bytes.Compare(b, r.End) < 0
	}
	last := Key{Kind: Block, Table: math.MaxUint64, Window: math.MaxInt64, Generation: math.MaxUint64, Block: math.MaxUint64}
	if !in(KindRange(Block), last) || !in(TableRange(Block, math.MaxUint64), last) ||
		!in(GenerationRange(Block, math.MaxUint64, math.MaxInt64, math.MaxUint64), last) {
		t.Error("the largest key of a range is outside it")
	}
	k := Key{Kind: Block, Table: 1, Window: 5, Generation: 2, Block: 3}
	if r := GenerationRange(Block, 1, 5, 2); !in(r, k) || in(r, Key{Kind: Block, Table: 1, Window: 5, Generation: 3}) {
		t.Error("generation range is wrong")
	}
	if r := TableRange(Block, 1); !in(r, k) || in(r, Key{Kind: Block, Table: 2}) || in(r, Key{Kind: Live, Table: 1}) {
		t.Error("table range is wrong")
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte{byte(Block)}, uint64(1), int64(-5), uint64(2))
	f.Add(Key{Kind: Dict, Table: 7, Dim: 2, Code: 513}.Bytes(), uint64(1), int64(0), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, table uint64, window int64, block uint64) {
		if k, err := Parse(b); err == nil && !bytes.Equal(k.Bytes(), b) {
			t.Fatalf("Parse(%x) = %+v, which is %x", b, k, k.Bytes())
		}
		k := Key{Kind: Block, Table: table, Window: window, Generation: block >> 3, Block: block}
		got, err := Parse(k.Bytes())
		if err != nil || got.Table != table || got.Window != window || got.Block != block || got.Generation != block>>3 {
			t.Fatalf("%+v came back as %+v, %v", k, got, err)
		}
		next := k
		if next.Block++; next.Block != 0 && bytes.Compare(k.Bytes(), next.Bytes()) >= 0 {
			t.Fatalf("%x does not sort below %x", k.Bytes(), next.Bytes())
		}
	})
}
