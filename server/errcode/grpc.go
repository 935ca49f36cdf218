package errcode

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is that of the ErrorInfo of every status.
const Domain = "quipu"

// A status travels in HTTP/2 trailers, which many clients hold below 8 KiB.
const (
	textBytesMax  = 1 << 10
	violationsMax = 16
	violationMax  = 128
)

// Status is e as google.rpc.Status: ErrorInfo (reason = the code; hint, detail and position as metadata), BadRequest with the
// violations, RetryInfo. Texts are cut at 1 KiB and violations after sixteen, to fit a trailer.
func (e *Error) Status() *status.Status {
	row := Of(e.Code)
	s := status.New(row.GRPC, cut(e.Message, textBytesMax))
	info := &errdetails.ErrorInfo{Reason: string(e.Code), Domain: Domain, Metadata: map[string]string{}}
	if e.Hint != "" {
		info.Metadata["hint"] = cut(e.Hint, textBytesMax)
	}
	if e.Detail != "" {
		info.Metadata["detail"] = cut(e.Detail, textBytesMax)
	}
	if e.Position > 0 {
		info.Metadata["position"] = strconv.Itoa(e.Position)
	}
	details := []protoadapt.MessageV1{info}
	if len(e.Violations) > 0 {
		details = append(details, badRequest(e.Violations))
	}
	if row.Retryable {
		retry := &errdetails.RetryInfo{}
		if e.RetryAfter > 0 {
			retry.RetryDelay = durationpb.New(e.RetryAfter)
		}
		details = append(details, retry)
	}
	with, err := s.WithDetails(details...)
	if err != nil { // only for code OK, which no row has
		return s
	}
	return with
}

// GRPCStatus makes e a gRPC status error, so that handlers may return it as it is.
func (e *Error) GRPCStatus() *status.Status { return e.Status() }

func badRequest(violations []Violation) *errdetails.BadRequest {
	b := &errdetails.BadRequest{}
	for i, v := range violations {
		if i == violationsMax {
			b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Description: "and " + strconv.Itoa(len(violations)-i) + " more",
			})
			break
		}
		b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: cut(v.Field, violationMax), Description: cut(v.Message, violationMax),
		})
	}
	return b
}

// FromStatus is the inverse of Status. A status that is not ours, for example of gRPC itself, gets the code nearest to its own.
func FromStatus(s *status.Status) *Error {
	if s == nil || s.Code() == codes.OK {
		return nil
	}
	e := &Error{Code: nearest(s.Code()), Message: s.Message()}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.Domain == Domain {
				e.Code = Code(d.Reason)
				e.Hint, e.Detail = d.Metadata["hint"], d.Metadata["detail"]
				e.Position, _ = strconv.Atoi(d.Metadata["position"])
			}
		case *errdetails.BadRequest:
			for _, v := range d.FieldViolations {
				e.Violations = append(e.Violations, Violation{v.Field, v.Description})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = max(0, min(d.RetryDelay.AsDuration(), time.Hour))
		}
	}
	return e
}

// nearest is the code for a bare gRPC code. RESOURCE_EXHAUSTED without details is gRPC's own answer to a message over the limit.
func nearest(c codes.Code) Code {
	switch c {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return Invalid
	case codes.NotFound:
		return NotFound
	case codes.AlreadyExists:
		return Exists
	case codes.Aborted:
		return Conflict
	case codes.PermissionDenied:
		return PermissionDenied
	case codes.Unauthenticated:
		return Unauthenticated
	case codes.ResourceExhausted:
		return TooLarge
	case codes.Unimplemented:
		return NotSupported
	case codes.Unavailable:
		return Unavailable
	case codes.DeadlineExceeded:
		return Timeout
	case codes.Canceled:
		return Canceled
	case codes.DataLoss:
		return Corrupt
	}
	return Internal
}

// cut shortens s to at most n bytes without splitting a character, and makes sure that it is valid UTF-8.
func cut(s string, n int) string {
	s = validUTF8(s)
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
