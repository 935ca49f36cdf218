package rpc

import (
	"context"
	"encoding/base64"
	"fmt"
	"sort"
	"strconv"
	"strings"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

type contextService struct {
	apiv1.UnimplementedContextsServer
	*Server
}

const (
	contextPage    = 100
	contextPageMax = 1000
)

func (s *contextService) Get(ctx context.Context, req *apiv1.GetContextRequest) (*apiv1.Record, error) {
	r, err := s.backend.Context(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	return tagged(ctx, r), nil
}

// List pages by name. The token carries the revision of the first page, so that a watch after it misses nothing.
func (s *contextService) List(ctx context.Context, req *apiv1.ListContextsRequest) (*apiv1.ListContextsResponse, error) {
	after, pinned, err := parsePage(req.PageToken)
	if err != nil {
		return nil, err
	}
	records, revision, err := s.backend.ListContexts(ctx, req.Prefix)
	if err != nil {
		return nil, err
	}
	if pinned != 0 {
		revision = pinned
	}
	if req.PageToken != "" {
		records = records[sort.Search(len(records), func(i int) bool { return records[i].Name > after }):]
	}
	size := int(min(req.PageSize, contextPageMax))
	if size == 0 {
		size = contextPage
	}
	resp := &apiv1.ListContextsResponse{Revision: revision}
	if len(records) > size {
		records = records[:size]
		resp.NextPageToken = pageToken(records[size-1].Name, revision)
	}
	for _, r := range records {
		resp.Records = append(resp.Records, recordMessage(r))
	}
	return resp, nil
}

func (s *contextService) Set(ctx context.Context, req *apiv1.SetContextRequest) (*apiv1.Record, error) {
	return s.change(ctx, ContextChange{Name: req.Name, Values: req.Values}, req.IfVersion)
}

func (s *contextService) Delete(ctx context.Context, req *apiv1.DeleteContextRequest) (*apiv1.Record, error) {
	return s.change(ctx, ContextChange{Name: req.Name, Delete: true}, req.IfVersion)
}

func (s *contextService) Revert(ctx context.Context, req *apiv1.RevertContextRequest) (*apiv1.Record, error) {
	if req.ToVersion == 0 {
		return nil, invalid("to_version", "is needed: it names the version whose values come back")
	}
	return s.change(ctx, ContextChange{Name: req.Name, RevertTo: req.ToVersion}, req.IfVersion)
}

func (s *contextService) change(ctx context.Context, c ContextChange, ifVersion *uint64) (*apiv1.Record, error) {
	var err error
	if c.IfVersion, err = expected(ctx, c.Name, ifVersion); err != nil {
		return nil, err
	}
	c.By = principal(ctx)
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	r, err := s.backend.SetContext(ctx, c)
	if err != nil {
		return nil, err
	}
	return tagged(ctx, r), nil
}

// expected is the version that the caller read, from the message or from If-Match.
func expected(ctx context.Context, name string, ifVersion *uint64) (uint64, error) {
	if ifVersion != nil {
		return *ifVersion, nil
	}
	match := first(ctx, MetaIfMatch)
	if match == "" {
		return 0, errcode.New(errcode.PreconditionRequired, "a change of context %q needs the version that you read", name).
			WithHint(`give if_version, or If-Match: "v7" with the ETag of a GET; version 0 creates`)
	}
	text, ok := strings.CutPrefix(strings.Trim(match, `"`), "v")
	version, err := strconv.ParseUint(text, 10, 64)
	if !ok || err != nil {
		return 0, errcode.New(errcode.Invalid, "If-Match %q is not a version", match).WithHint(`write If-Match: "v7"`)
	}
	return version, nil
}

func (s *contextService) History(ctx context.Context, req *apiv1.ContextHistoryRequest) (*apiv1.ContextHistoryResponse, error) {
	records, err := s.backend.ContextHistory(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ContextHistoryResponse{}
	for _, r := range records {
		resp.Records = append(resp.Records, recordMessage(r))
	}
	return resp, nil
}

func (s *contextService) Watch(req *apiv1.WatchContextsRequest, stream grpc.ServerStreamingServer[apiv1.ContextEvent]) error {
	select {
	case s.watches <- struct{}{}:
	default:
		return errcode.New(errcode.Busy, "the node serves %d watches, which is its limit", s.opts.WatchesMax).WithHint("watch from another node, or close watches")
	}
	s.metrics.watches.Inc()
	defer func() {
		<-s.watches
		s.metrics.watches.Dec()
	}()
	if err := stream.SendHeader(nil); err != nil { // the caller knows that the watch stands before the first event
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-s.draining:
			cancel(errClosing())
		case <-ended:
		}
	}()
	err := s.backend.WatchContexts(ctx, req.Prefix, req.AfterRevision, func(e ContextEvent) error {
		m := &apiv1.ContextEvent{Revision: e.Revision, Gap: e.Gap}
		if e.Record != nil {
			m.Record = recordMessage(*e.Record)
		}
		return stream.Send(m)
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func recordMessage(r schema.Record) *apiv1.Record {
	return &apiv1.Record{
		Name: r.Name, Version: r.Version, Revision: r.Revision, Values: r.Values, Deleted: r.Deleted,
		ModifiedBy: r.ModifiedBy, ModifiedAtMs: r.ModifiedAt,
	}
}

// tagged is r as message, with its version as ETag for the gateway.
func tagged(ctx context.Context, r schema.Record) *apiv1.Record {
	grpc.SetHeader(ctx, metadata.Pairs(MetaETag, fmt.Sprintf(`"v%d"`, r.Version)))
	return recordMessage(r)
}

func pageToken(last string, revision uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(revision, 10) + " " + last))
}

func parsePage(token string) (last string, revision uint64, err error) {
	if token == "" {
		return "", 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	number, last, ok := strings.Cut(string(text), " ")
	revision, parseErr := strconv.ParseUint(number, 10, 64)
	if err != nil || !ok || parseErr != nil {
		return "", 0, invalid("page_token", "is not one that this server gave")
	}
	return last, revision, nil
}
