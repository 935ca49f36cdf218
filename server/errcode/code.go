package errcode

import (
	"net/http"
	"slices"

	"google.golang.org/grpc/codes"
)

// Code is the stable name of a kind of error, upper snake case. Programs test it and never the text; it is never renamed.
type Code string

// The codes, by who is to act: first the caller with another request, then the caller with the same one later, then us.
const (
	Invalid              Code = "INVALID"
	SyntaxError          Code = "SYNTAX_ERROR"
	UnknownTable         Code = "UNKNOWN_TABLE"
	UnknownColumn        Code = "UNKNOWN_COLUMN"
	UnknownFunction      Code = "UNKNOWN_FUNCTION"
	UnknownSetting       Code = "UNKNOWN_SETTING"
	UnknownRole          Code = "UNKNOWN_ROLE"
	UnknownParameter     Code = "UNKNOWN_PARAMETER"
	RoleExists           Code = "ROLE_EXISTS"
	AmbiguousColumn      Code = "AMBIGUOUS_COLUMN"
	DuplicateColumn      Code = "DUPLICATE_COLUMN"
	DuplicateAlias       Code = "DUPLICATE_ALIAS"
	TypeMismatch         Code = "TYPE_MISMATCH"
	GroupingError        Code = "GROUPING_ERROR"
	WindowError          Code = "WINDOW_ERROR"
	InvalidReference     Code = "INVALID_COLUMN_REFERENCE"
	ManyRows             Code = "MANY_ROWS"
	InvalidOption        Code = "INVALID_OPTION"
	InvalidText          Code = "INVALID_TEXT"
	InvalidName          Code = "INVALID_NAME"
	InvalidEncoding      Code = "INVALID_ENCODING"
	InvalidEscape        Code = "INVALID_ESCAPE"
	NumericOutOfRange    Code = "NUMERIC_OUT_OF_RANGE"
	DivisionByZero       Code = "DIVISION_BY_ZERO"
	ValueInvalid         Code = "VALUE_INVALID"
	NotNull              Code = "NOT_NULL"
	BadCopyFormat        Code = "BAD_COPY_FORMAT"
	NotSupported         Code = "NOT_SUPPORTED"
	Overflow             Code = "OVERFLOW"
	BelowZero            Code = "BELOW_ZERO"
	Cardinality          Code = "CARDINALITY"
	Late                 Code = "LATE"
	Early                Code = "EARLY"
	Stale                Code = "STALE"
	SchemaChanged        Code = "SCHEMA_CHANGED"
	SessionExpired       Code = "SESSION_EXPIRED"
	SessionForeign       Code = "SESSION_FOREIGN"
	ReceiptOfOther       Code = "RECEIPT_OF_OTHER_CLUSTER"
	KeyReused            Code = "KEY_REUSED"
	Exists               Code = "EXISTS"
	NotFound             Code = "NOT_FOUND"
	Conflict             Code = "CONFLICT"
	PreconditionRequired Code = "PRECONDITION_REQUIRED"
	Gone                 Code = "GONE"
	Quota                Code = "QUOTA"
	InvalidRecursion     Code = "INVALID_RECURSION"
	TooLarge             Code = "TOO_LARGE"
	TooComplex           Code = "TOO_COMPLEX"
	TooManyColumns       Code = "TOO_MANY_COLUMNS"
	RowLimit             Code = "ROW_LIMIT"
	MemoryLimit          Code = "MEMORY_LIMIT"
	Unauthenticated      Code = "UNAUTHENTICATED"
	PermissionDenied     Code = "PERMISSION_DENIED"
	Canceled             Code = "CANCELED"
	Timeout              Code = "TIMEOUT"
	StatementTimeout     Code = "STATEMENT_TIMEOUT"
	MethodNotAllowed     Code = "METHOD_NOT_ALLOWED"
	NotAcceptable        Code = "NOT_ACCEPTABLE"
	UnsupportedMedia     Code = "UNSUPPORTED_MEDIA_TYPE"

	Busy           Code = "BUSY"
	WindowFull     Code = "WINDOW_FULL"
	WrongShard     Code = "WRONG_SHARD"
	KeyInProgress  Code = "KEY_IN_PROGRESS"
	Unavailable    Code = "UNAVAILABLE"
	NotLeader      Code = "NOT_LEADER"
	SnapshotTooOld Code = "SNAPSHOT_TOO_OLD"
	DiskFull       Code = "DISK_FULL"
	Closing        Code = "CLOSING"

	Corrupt  Code = "CORRUPT"
	Internal Code = "INTERNAL"
)

// Row is what one code is called on each wire.
type Row struct {
	Code      Code
	GRPC      codes.Code
	HTTP      int
	SQLState  string // five characters: PostgreSQL's where it has the idea, class QP where it has not
	Retryable bool   // the same request may succeed later without a change
	Title     string // a constant phrase for the kind of error
}

// Table has one row for each code, in the order of the constants.
var Table = []Row{
	{Invalid, codes.InvalidArgument, http.StatusBadRequest, "22000", false, "the request is not valid"},
	{SyntaxError, codes.InvalidArgument, http.StatusBadRequest, "42601", false, "the SQL text does not parse"},
	{UnknownTable, codes.NotFound, http.StatusNotFound, "42P01", false, "there is no such table"},
	{UnknownColumn, codes.InvalidArgument, http.StatusBadRequest, "42703", false, "there is no such column"},
	{UnknownFunction, codes.InvalidArgument, http.StatusBadRequest, "42883", false, "there is no such function"},
	{UnknownSetting, codes.InvalidArgument, http.StatusBadRequest, "42704", false, "there is no such setting"},
	{UnknownRole, codes.NotFound, http.StatusNotFound, "42704", false, "there is no such role"},
	{UnknownParameter, codes.InvalidArgument, http.StatusBadRequest, "42P02", false, "there is no such parameter"},
	{RoleExists, codes.AlreadyExists, http.StatusConflict, "42710", false, "the role exists already"},
	{AmbiguousColumn, codes.InvalidArgument, http.StatusBadRequest, "42702", false, "the column name is ambiguous"},
	{DuplicateColumn, codes.InvalidArgument, http.StatusBadRequest, "42701", false, "the column stands twice"},
	{DuplicateAlias, codes.InvalidArgument, http.StatusBadRequest, "42712", false, "the name stands twice in FROM"},
	{TypeMismatch, codes.InvalidArgument, http.StatusBadRequest, "42804", false, "the types do not fit"},
	{GroupingError, codes.InvalidArgument, http.StatusBadRequest, "42803", false, "the column is neither grouped nor aggregated"},
	{WindowError, codes.InvalidArgument, http.StatusBadRequest, "42P20", false, "the window or its function is not valid"},
	{InvalidReference, codes.InvalidArgument, http.StatusBadRequest, "42P10", false, "the column cannot be referred to here"},
	{ManyRows, codes.InvalidArgument, http.StatusBadRequest, "21000", false, "a subquery used as a value gave more than one row"},
	{InvalidOption, codes.InvalidArgument, http.StatusBadRequest, "22023", false, "the option or parameter is not valid"},
	{InvalidText, codes.InvalidArgument, http.StatusBadRequest, "22P02", false, "the text is not a value of the type"},
	{InvalidName, codes.InvalidArgument, http.StatusBadRequest, "42602", false, "the name is not valid"},
	{InvalidEncoding, codes.InvalidArgument, http.StatusBadRequest, "22021", false, "the text is not UTF-8"},
	{InvalidEscape, codes.InvalidArgument, http.StatusBadRequest, "22025", false, "the escape sequence is not valid"},
	{NumericOutOfRange, codes.OutOfRange, http.StatusBadRequest, "22003", false, "the number is out of range"},
	{DivisionByZero, codes.InvalidArgument, http.StatusBadRequest, "22012", false, "division by zero"},
	{ValueInvalid, codes.InvalidArgument, http.StatusUnprocessableEntity, "22P05", false, "the category value is not valid"},
	{NotNull, codes.InvalidArgument, http.StatusUnprocessableEntity, "23502", false, "the column does not take NULL"},
	{BadCopyFormat, codes.InvalidArgument, http.StatusBadRequest, "22P04", false, "the data to copy is malformed"},
	{NotSupported, codes.Unimplemented, http.StatusNotImplemented, "0A000", false, "this is not supported"},
	{Overflow, codes.OutOfRange, http.StatusUnprocessableEntity, "QP001", false, "a count would leave the range of int64"},
	{BelowZero, codes.FailedPrecondition, http.StatusUnprocessableEntity, "23514", false, "a count would fall below zero"},
	{Cardinality, codes.ResourceExhausted, http.StatusUnprocessableEntity, "QP002", false, "the dimension has too many distinct values"},
	{Late, codes.FailedPrecondition, http.StatusUnprocessableEntity, "QP003", false, "the event is older than the retention"},
	{Early, codes.FailedPrecondition, http.StatusUnprocessableEntity, "QP004", false, "the event lies too far in the future"},
	{Stale, codes.FailedPrecondition, http.StatusConflict, "QP005", false, "the sequence number was answered long ago"},
	{SchemaChanged, codes.FailedPrecondition, http.StatusConflict, "QP006", false, "the table has changed"},
	{SessionExpired, codes.FailedPrecondition, http.StatusGone, "QP007", false, "the session has expired"},
	{SessionForeign, codes.PermissionDenied, http.StatusForbidden, "QP008", false, "the session belongs to somebody else"},
	{ReceiptOfOther, codes.FailedPrecondition, http.StatusConflict, "QP009", false, "the receipt is of another cluster or incarnation"},
	{KeyReused, codes.InvalidArgument, http.StatusUnprocessableEntity, "QP010", false, "the idempotency key was used with another body"},
	{Exists, codes.AlreadyExists, http.StatusConflict, "42P07", false, "it exists already"},
	{NotFound, codes.NotFound, http.StatusNotFound, "QP011", false, "there is no such thing"},
	{Conflict, codes.Aborted, http.StatusPreconditionFailed, "QP012", false, "it has changed since it was read"},
	{PreconditionRequired, codes.FailedPrecondition, http.StatusPreconditionRequired, "QP013", false, "the change needs the version that was read"},
	{Gone, codes.OutOfRange, http.StatusGone, "QP014", false, "the history asked for is compacted"},
	{Quota, codes.ResourceExhausted, http.StatusTooManyRequests, "QP015", false, "the quota is used up"},
	{InvalidRecursion, codes.InvalidArgument, http.StatusBadRequest, "42P19", false, "a query refers to itself where it may not"},
	{TooLarge, codes.ResourceExhausted, http.StatusRequestEntityTooLarge, "54000", false, "the request is too large"},
	{TooComplex, codes.InvalidArgument, http.StatusBadRequest, "54001", false, "the statement is too complex"},
	{TooManyColumns, codes.InvalidArgument, http.StatusBadRequest, "54011", false, "the statement has too many columns"},
	{RowLimit, codes.ResourceExhausted, http.StatusUnprocessableEntity, "QP016", false, "the result has too many rows"},
	{MemoryLimit, codes.ResourceExhausted, http.StatusUnprocessableEntity, "53200", false, "the query needs too much memory"},
	{Unauthenticated, codes.Unauthenticated, http.StatusUnauthorized, "28000", false, "authentication is needed"},
	{PermissionDenied, codes.PermissionDenied, http.StatusForbidden, "42501", false, "this is not allowed"},
	{Canceled, codes.Canceled, 499, "57014", false, "the caller gave up"}, // 499: nginx's "client closed request"
	{Timeout, codes.DeadlineExceeded, http.StatusGatewayTimeout, "QP017", true, "the time is up"},
	{StatementTimeout, codes.DeadlineExceeded, http.StatusGatewayTimeout, "57014", false, "the statement took longer than statement_timeout"},
	{MethodNotAllowed, codes.Unimplemented, http.StatusMethodNotAllowed, "QP018", false, "the resource has no such method"},
	{NotAcceptable, codes.InvalidArgument, http.StatusNotAcceptable, "QP019", false, "none of the formats asked for is available"},
	{UnsupportedMedia, codes.InvalidArgument, http.StatusUnsupportedMediaType, "QP024", false, "the body has a type that is not taken here"},

	{Busy, codes.ResourceExhausted, http.StatusTooManyRequests, "53300", true, "the server is busy"},
	{WindowFull, codes.ResourceExhausted, http.StatusTooManyRequests, "QP020", true, "too many unanswered batches of one session"},
	{WrongShard, codes.Aborted, http.StatusServiceUnavailable, "QP021", true, "the shard map has changed"},
	{KeyInProgress, codes.Aborted, http.StatusConflict, "QP022", true, "the first request with this key is still running"},
	{Unavailable, codes.Unavailable, http.StatusServiceUnavailable, "57P03", true, "not available at the moment"},
	{NotLeader, codes.Unavailable, http.StatusServiceUnavailable, "QP023", true, "another node leads the group"},
	{SnapshotTooOld, codes.Aborted, http.StatusServiceUnavailable, "72000", true, "the snapshot is too old"},
	{DiskFull, codes.ResourceExhausted, http.StatusInsufficientStorage, "53100", true, "the disk is full"},
	{Closing, codes.Unavailable, http.StatusServiceUnavailable, "57P01", true, "the node is stopping"},

	{Corrupt, codes.DataLoss, http.StatusInternalServerError, "XX001", false, "stored data is corrupt"},
	{Internal, codes.Internal, http.StatusInternalServerError, "XX000", false, "an error of ours"},
}

var byCode, bySQLState = index(func(r Row) string { return string(r.Code) }), index(func(r Row) string { return r.SQLState })

func index(key func(Row) string) map[string]Row {
	m := make(map[string]Row, len(Table))
	for _, r := range slices.Backward(Table) { // the first one of a state that two codes share
		m[key(r)] = r
	}
	return m
}

// Of is the row of c; an unknown code has the row of Internal under its own name.
func Of(c Code) Row {
	if r, ok := byCode[string(c)]; ok {
		return r
	}
	r := byCode[string(Internal)]
	r.Code = c
	return r
}

// BySQLState is the row with that SQLSTATE.
func BySQLState(state string) (Row, bool) {
	r, ok := bySQLState[state]
	return r, ok
}
