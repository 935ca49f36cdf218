package pgwire

import (
	"encoding/binary"

	"github.com/quipudb/quipu/query/plan"
)

// arrays are the OIDs of array types, and of their elements.
var arrays = []struct{ array, elem uint32 }{
	{1000, oidBool}, {1016, oidInt8}, {1022, oidFloat8}, {1009, oidText}, {1185, oidTimestamptz}, {1187, oidInterval}, {199, oidJSON},
	{1005, oidInt2}, {1007, oidInt4}, {1028, oidOID}, {1015, oidVarchar}, {1014, oidBpchar}, {1003, oidName}, {1002, oidChar}, {1021, oidFloat4},
	{2210, oidRegclass}, {2211, oidRegtype}, {1008, oidRegproc}, {4090, oidRegnamespace}, {4097, oidRegrole},
}

func elemOID(array uint32) (uint32, bool) {
	for _, a := range arrays {
		if a.array == array {
			return a.elem, true
		}
	}
	return 0, false
}

func arrayOID(elem uint32) uint32 {
	for _, a := range arrays {
		if a.elem == elem {
			return a.array
		}
	}
	return oidText
}

// appendArray appends an array in binary: dimensions, whether there are NULLs, the OID of the elements, length and lower bound, elements.
func appendArray(dst []byte, t plan.Type, v plan.Value) []byte {
	elems := v.Elems()
	oid, _ := typeOf(t.Elem())
	nulls := uint32(0)
	for _, e := range elems {
		if e.IsNull() {
			nulls = 1
		}
	}
	dimensions := uint32(min(1, len(elems)))
	for _, n := range []uint32{dimensions, nulls, oid} {
		dst = binary.BigEndian.AppendUint32(dst, n)
	}
	if dimensions == 0 {
		return dst
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(elems)))
	dst = binary.BigEndian.AppendUint32(dst, 1)
	for _, e := range elems {
		dst = appendField(dst, t.Elem(), e, true)
	}
	return dst
}

// binaryArray reads an array of one dimension.
func binaryArray(b []byte, elem uint32) (plan.Value, bool) {
	t := typeByOID(elem)
	if len(b) < 12 {
		return plan.Null, false
	}
	dimensions, oid := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[8:])
	b = b[12:]
	if dimensions == 0 {
		return plan.ArrayValue(t, nil), len(b) == 0
	}
	if dimensions != 1 || len(b) < 8 {
		return plan.Null, false
	}
	n := binary.BigEndian.Uint32(b)
	b = b[8:]
	if n > plan.ArrayMax || uint64(n)*4 > uint64(len(b)) {
		return plan.Null, false
	}
	list := make([]plan.Value, n)
	for i := range list {
		if len(b) < 4 {
			return plan.Null, false
		}
		size := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if size < 0 {
			continue
		}
		if int64(size) > int64(len(b)) {
			return plan.Null, false
		}
		v, ok := binaryValue(b[:size], oid)
		if !ok || v.Type.IsArray() {
			return plan.Null, false
		}
		list[i], b = v, b[size:]
	}
	return plan.ArrayValue(t, list), len(b) == 0
}
