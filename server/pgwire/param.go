package pgwire

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

// typeByOID is the type that a parameter of a declared OID is bound with; Unknown leaves it to the statement.
func typeByOID(oid uint32) plan.Type {
	switch oid {
	case oidBool:
		return plan.Bool
	case oidInt8, oidInt4, oidInt2, oidOID:
		return plan.Int8
	case oidFloat8, oidFloat4, oidNumeric:
		return plan.Float8
	case oidText, oidVarchar, oidBpchar, oidName, oidChar, oidUUID:
		return plan.Text
	case oidTimestamptz, oidTimestamp, oidDate:
		return plan.Timestamptz
	case oidInterval:
		return plan.Interval
	case oidJSON, oidJSONB:
		return plan.JSON
	case oidRegclass, oidRegtype, oidRegproc, oidRegnamespace, oidRegrole:
		return plan.Text // a name, or an OID as text
	}
	if elem, ok := elemOID(oid); ok {
		if t := typeByOID(elem); t != plan.Unknown {
			return plan.ArrayOf(t)
		}
	}
	return plan.Unknown
}

// textParam reads a parameter in text form.
func textParam(n int, b []byte, t plan.Type) (plan.Value, error) {
	if !utf8.Valid(b) {
		return plan.Null, errcode.New(errcode.InvalidEncoding, "parameter $%d is not valid UTF-8", n)
	}
	v, err := plan.Convert(plan.TextValue(string(b)), t)
	if err != nil {
		e := *errcode.From(err)
		e.Message += " in parameter $" + itoa(int64(n))
		return plan.Null, &e
	}
	return v, nil
}

// binaryParam reads a parameter in the binary form of the OID that the client declared, or that it was told.
func binaryParam(n int, b []byte, oid uint32, t plan.Type) (plan.Value, error) {
	v, ok := binaryValue(b, oid)
	if !ok {
		switch typeByOID(oid) {
		case plan.Unknown:
			return plan.Null, errcode.New(errcode.NotSupported, "parameter $%d is in binary of a type that is not known here (OID %d)", n, oid).
				WithHint("send it as text, or cast it")
		}
		if oid == oidNumeric {
			return plan.Null, errcode.New(errcode.NotSupported, "parameter $%d is a numeric in binary", n).WithHint("send it as text, or as float8 or int8")
		}
		return plan.Null, failure(stateBadBinary, "incorrect binary data format in parameter $%d: %d bytes", n, len(b))
	}
	if t == plan.Unknown {
		return v, nil
	}
	return plan.Convert(v, t)
}

// binaryValue decodes the binary form of an OID.
func binaryValue(b []byte, oid uint32) (plan.Value, bool) {
	switch oid {
	case oidBool:
		return plan.BoolValue(len(b) == 1 && b[0] != 0), len(b) == 1
	case oidInt8, oidInt4, oidInt2, oidOID:
		return binaryInt(b, oid)
	case oidFloat8, oidFloat4:
		return binaryFloat(b, oid)
	case oidText, oidVarchar, oidBpchar, oidName, oidChar, oidUnknown, 0:
		return plan.TextValue(string(b)), utf8.Valid(b)
	case oidJSON:
		return plan.JSONValue(string(b)), utf8.Valid(b)
	case oidJSONB: // a version, then the text
		return plan.JSONValue(string(b[min(1, len(b)):])), len(b) > 0 && b[0] == 1 && utf8.Valid(b)
	case oidTimestamptz, oidTimestamp, oidDate:
		return binaryTime(b, oid)
	case oidInterval:
		if len(b) != 16 {
			return plan.Null, false
		}
		return plan.IntervalValue(int32(binary.BigEndian.Uint32(b[12:])), int32(binary.BigEndian.Uint32(b[8:])), int64(binary.BigEndian.Uint64(b))), true
	case oidRegclass, oidRegtype, oidRegproc, oidRegnamespace, oidRegrole:
		if len(b) != 4 {
			return plan.Null, false
		}
		return plan.TextValue(itoa(int64(binary.BigEndian.Uint32(b)))), true
	}
	if elem, ok := elemOID(oid); ok {
		return binaryArray(b, elem)
	}
	return plan.Null, false
}

func binaryInt(b []byte, oid uint32) (plan.Value, bool) {
	switch {
	case oid == oidInt8 && len(b) == 8:
		return plan.IntValue(int64(binary.BigEndian.Uint64(b))), true
	case oid == oidInt4 && len(b) == 4:
		return plan.IntValue(int64(int32(binary.BigEndian.Uint32(b)))), true
	case oid == oidOID && len(b) == 4:
		return plan.IntValue(int64(binary.BigEndian.Uint32(b))), true
	case oid == oidInt2 && len(b) == 2:
		return plan.IntValue(int64(int16(binary.BigEndian.Uint16(b)))), true
	}
	return plan.Null, false
}

func binaryFloat(b []byte, oid uint32) (plan.Value, bool) {
	switch {
	case oid == oidFloat8 && len(b) == 8:
		return plan.FloatValue(math.Float64frombits(binary.BigEndian.Uint64(b))), true
	case oid == oidFloat4 && len(b) == 4:
		return plan.FloatValue(float64(math.Float32frombits(binary.BigEndian.Uint32(b)))), true
	}
	return plan.Null, false
}

// binaryTime refuses what lies too far from 1970 for Unix microseconds.
func binaryTime(b []byte, oid uint32) (plan.Value, bool) {
	switch {
	case oid == oidDate && len(b) == 4:
		return plan.MicrosValue(int64(int32(binary.BigEndian.Uint32(b)))*86_400_000_000 + epoch2000), true
	case oid != oidDate && len(b) == 8:
		us := int64(binary.BigEndian.Uint64(b))
		return plan.MicrosValue(us + epoch2000), us <= math.MaxInt64-epoch2000
	}
	return plan.Null, false
}
