package rpc

import (
	"context"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/storage/schema"
)

type importService struct {
	apiv1.UnimplementedImportsServer
	*Server
}

// importTextMax bounds each text of an import's record, which the meta group keeps.
const importTextMax = 16 << 10

func (s *importService) GetImport(ctx context.Context, req *apiv1.GetImportRequest) (*apiv1.Import, error) {
	rec, err := s.backend.Import(ctx, req.Id)
	if err != nil {
		return nil, err
	}
	return importMessage(rec), nil
}

func (s *importService) PutImport(ctx context.Context, req *apiv1.PutImportRequest) (*apiv1.Import, error) {
	who := principal(ctx)
	m := req.Import
	if m.GetId() == "" {
		return nil, invalid("import.id", "is empty")
	}
	for _, f := range []struct{ name, text string }{
		{"id", m.Id}, {"table", m.Table}, {"file_hash", m.FileHash}, {"mapping", m.Mapping}, {"chunking", m.Chunking},
	} {
		if len(f.text) > importTextMax {
			return nil, invalid("import."+f.name, "has %d bytes, the limit is %d", len(f.text), importTextMax)
		}
	}
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	rec, err := s.backend.PutImport(ctx, who, Import{
		ID: m.Id, Table: m.Table, TableID: schema.TableID(m.TableId), FileHash: m.FileHash, Mapping: m.Mapping, Chunking: m.Chunking,
		Session: m.Session, ChunksDone: m.ChunksDone, RowsCounted: m.RowsCounted, RowsRejected: m.RowsRejected, Complete: m.Complete,
	}, req.IfVersion)
	if err != nil {
		return nil, err
	}
	return importMessage(rec), nil
}

func importMessage(r Import) *apiv1.Import {
	return &apiv1.Import{
		Id: r.ID, Version: r.Version, Table: r.Table, TableId: uint64(r.TableID), FileHash: r.FileHash, Mapping: r.Mapping,
		Chunking: r.Chunking, Session: r.Session, ChunksDone: r.ChunksDone, RowsCounted: r.RowsCounted,
		RowsRejected: r.RowsRejected, Complete: r.Complete,
	}
}
