package pgwire

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/quipudb/quipu/query/plan"
)

// OIDs of PostgreSQL's own types. Results have these and no others: a client that meets an OID it does not know may do anything.
const (
	oidBool        = 16
	oidBytea       = 17
	oidChar        = 18
	oidName        = 19
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidOID         = 26
	oidJSON        = 114
	oidFloat4      = 700
	oidFloat8      = 701
	oidUnknown     = 705
	oidBpchar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidInterval    = 1186
	oidNumeric     = 1700
	oidUUID        = 2950
	oidJSONB       = 3802

	oidOIDVector    = 30
	oidRegproc      = 24
	oidRegclass     = 2205
	oidRegtype      = 2206
	oidRegnamespace = 4089
	oidRegrole      = 4096
)

// typeOf is the OID and the size of a type in binary; −1 is any.
func typeOf(t plan.Type) (oid uint32, size int16) {
	switch t {
	case plan.Bool:
		return oidBool, 1
	case plan.Int8:
		return oidInt8, 8
	case plan.Float8:
		return oidFloat8, 8
	case plan.Timestamptz:
		return oidTimestamptz, 8
	case plan.Interval:
		return oidInterval, 16
	case plan.JSON:
		return oidJSON, -1
	case plan.RegClass:
		return oidRegclass, 4
	case plan.RegType:
		return oidRegtype, 4
	case plan.RegProc:
		return oidRegproc, 4
	case plan.RegNamespace:
		return oidRegnamespace, 4
	case plan.RegRole:
		return oidRegrole, 4
	}
	if t == plan.Vector {
		return oidOIDVector, -1
	}
	if t.IsArray() {
		elem, _ := typeOf(t.Elem())
		return arrayOID(elem), -1
	}
	return oidText, -1
}

// epoch2000 is where PostgreSQL's timestamps begin, in Unix microseconds.
const epoch2000 = 946_684_800_000_000

// appendField appends a value of a column with its length in front.
func appendField(dst []byte, t plan.Type, v plan.Value, inBinary bool) []byte {
	if v.IsNull() {
		return append(dst, 0xff, 0xff, 0xff, 0xff)
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if inBinary {
		dst = appendBinary(dst, t, v)
	} else {
		dst = appendText(dst, t, v)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// appendText appends v as PostgreSQL shows a value of type t.
func appendText(dst []byte, t plan.Type, v plan.Value) []byte {
	switch v.Type {
	case plan.Text, plan.JSON:
		return append(dst, v.Text()...)
	case plan.Int8:
		return strconv.AppendInt(dst, v.Int(), 10)
	case plan.Float8:
		return appendFloat(dst, v.Float())
	case plan.Bool:
		if v.Bool() {
			return append(dst, 't')
		}
		return append(dst, 'f')
	case plan.Timestamptz:
		return append(v.Time().AppendFormat(dst, "2006-01-02 15:04:05.999999"), "+00"...)
	}
	return append(dst, v.String()...)
}

// appendFloat appends the shortest text that reads back as the same bits.
func appendFloat(dst []byte, f float64) []byte {
	switch a := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, plan.FormatFloat(f)...)
	case a != 0 && (a < 1e-4 || a >= 1e15):
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// appendBinary appends v as PostgreSQL sends a value of type t in binary.
func appendBinary(dst []byte, t plan.Type, v plan.Value) []byte {
	switch t {
	case plan.Bool:
		if v.Bool() {
			return append(dst, 1)
		}
		return append(dst, 0)
	case plan.Int8:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int()))
	case plan.Float8:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v.Float()))
	case plan.Timestamptz:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int()-epoch2000))
	case plan.Interval:
		months, days, micros := v.Span()
		dst = binary.BigEndian.AppendUint64(dst, uint64(micros))
		dst = binary.BigEndian.AppendUint32(dst, uint32(days))
		return binary.BigEndian.AppendUint32(dst, uint32(months))
	case plan.RegClass, plan.RegType, plan.RegProc, plan.RegNamespace, plan.RegRole:
		return binary.BigEndian.AppendUint32(dst, uint32(v.Int()))
	}
	if t.IsArray() {
		return appendArray(dst, t, v)
	}
	return appendText(dst, t, v)
}
