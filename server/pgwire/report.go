package pgwire

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// SQLSTATEs of conditions that exist on this wire only. All others come from the table of server/errcode.
const (
	stateWarning             = "01000"
	stateProtocol            = "08P01" // protocol_violation
	stateBadPassword         = "28P01" // invalid_password
	stateUnknownDatabase     = "3D000" // invalid_catalog_name
	stateUnknownStatement    = "26000" // invalid_sql_statement_name
	stateUnknownPortal       = "34000" // invalid_cursor_name
	stateDuplicateStatement  = "42P05" // duplicate_prepared_statement
	stateDuplicatePortal     = "42P03" // duplicate_cursor
	stateSavepoint           = "3B001" // invalid_savepoint_specification
	stateInBlock             = "25001" // active_sql_transaction
	stateReadOnly            = "25006" // read_only_sql_transaction
	stateNoBlock             = "25P01" // no_active_sql_transaction
	stateFailedBlock         = "25P02" // in_failed_sql_transaction
	stateBlockTimeout        = "25P03" // idle_in_transaction_session_timeout
	stateIdleTimeout         = "57P05" // idle_session_timeout
	stateUnknownOutcome      = "40003" // statement_completion_unknown
	stateTooManyConnections  = "53300" // too_many_connections
	stateLimit               = "54000" // program_limit_exceeded
	stateBadBinary           = "22P03" // invalid_binary_representation
	statePortalNotSuspended  = "55000" // object_not_in_prerequisite_state
	stateUnsupportedProtocol = "0A000" // feature_not_supported
)

// wireError is an error with a SQLSTATE of this wire.
type wireError struct {
	state string
	err   *errcode.Error
}

func (e *wireError) Error() string { return e.state + ": " + e.err.Message }

// Unwrap is the public form without the SQLSTATE.
func (e *wireError) Unwrap() error { return e.err }

// WithHint sets the hint and returns e.
func (e *wireError) WithHint(format string, args ...any) *wireError {
	e.err.Hint = fmt.Sprintf(format, args...)
	return e
}

// fatal is an error that ends the connection and not only a statement.
type fatal struct{ error }

func (e *fatal) Unwrap() error { return e.error }

func failure(state, format string, args ...any) *wireError {
	return &wireError{state, errcode.New(errcode.Invalid, format, args...)}
}

var (
	errUserCancel = errcode.New(errcode.Canceled, "canceling statement due to user request")
	errStopping   = errcode.New(errcode.Closing, "terminating connection: the node is stopping").WithHint("connect again")
)

func errProtocol(format string, args ...any) error { return failure(stateProtocol, format, args...) }

func errFailedBlock() error {
	return failure(stateFailedBlock, "current transaction is aborted, commands ignored until end of transaction block").
		WithHint("ROLLBACK ends it")
}

// sqlState splits an error into its SQLSTATE and its public form.
func sqlState(err error) (string, *errcode.Error) {
	if w, ok := errors.AsType[*wireError](err); ok {
		return w.state, w.err
	}
	e := errcode.From(err)
	return errcode.Of(e.Code).SQLState, e
}

// response is err as a message. Of an error of ours the detail is for the log, not for the client.
func response(severity string, err error) *pgproto3.ErrorResponse {
	state, e := sqlState(err)
	detail := []string{}
	if e.Detail != "" && e.Code != errcode.Internal {
		detail = append(detail, e.Detail)
	}
	for _, v := range e.Violations {
		detail = append(detail, v.Field+" "+v.Message)
	}
	return &pgproto3.ErrorResponse{
		Severity: severity, SeverityUnlocalized: severity, Code: state, Message: clean(e.Message), Detail: clean(strings.Join(detail, "\n")),
		Hint: clean(e.Hint), Position: int32(e.Position),
	}
}

// notice is a warning or a note beside a result.
func notice(severity, state, message, hint string) *pgproto3.NoticeResponse {
	return &pgproto3.NoticeResponse{Severity: severity, SeverityUnlocalized: severity, Code: state, Message: clean(message), Hint: clean(hint)}
}

// footing is what the client was told of the snapshot of the last result.
type footing struct {
	told     bool
	snapshot schema.SnapshotID
	ms       int64
}

// reportFooting tells the client of the snapshot of a result and of its age, as far as they are not those that it knows.
func (c *conn) reportFooting(id schema.SnapshotID, age time.Duration) {
	f := footing{true, id, age.Milliseconds()}
	if f.snapshot != c.footing.snapshot || !c.footing.told {
		c.report("quipu.snapshot", id.String())
	}
	if f.ms != c.footing.ms || !c.footing.told {
		c.report("quipu.staleness_ms", itoa(f.ms))
	}
	c.footing = f
}

// clean takes out the bytes that end a text on the wire.
func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(s, "\x00", "")
}
