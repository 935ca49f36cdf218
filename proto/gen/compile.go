package main

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// Their descriptors are linked into this program, so no .proto file of Google is copied into the repository.
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
)

const (
	root   = ".."     // the folder proto/, seen from this module
	prefix = "quipu/" // import path of that folder: proto/api/v1/write.proto is imported as quipu/api/v1/write.proto
)

// findProtos lists the .proto files below dir by import path, in order.
func findProtos(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".proto" {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, prefix+filepath.ToSlash(rel))
		return err
	})
	slices.Sort(files)
	return files, err
}

// compile gives the descriptors of files and of all they import, dependencies first, with comments.
func compile(files []string) ([]*descriptorpb.FileDescriptorProto, error) {
	c := protocompile.Compiler{
		SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{Accessor: open},
			protocompile.ResolverFunc(linked),
		},
	}
	compiled, err := c.Compile(context.Background(), files...)
	if err != nil {
		return nil, err
	}
	var set []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var visit func(protoreflect.FileDescriptor)
	visit = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			visit(f.Imports().Get(i).FileDescriptor)
		}
		set = append(set, protodesc.ToFileDescriptorProto(f))
	}
	for _, f := range compiled {
		visit(f)
	}
	return set, nil
}

func open(path string) (io.ReadCloser, error) {
	local, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return nil, fs.ErrNotExist
	}
	return os.Open(filepath.Join(root, filepath.FromSlash(local)))
}

func linked(path string) (protocompile.SearchResult, error) {
	f, err := protoregistry.GlobalFiles.FindFileByPath(path)
	return protocompile.SearchResult{Desc: f}, err
}
