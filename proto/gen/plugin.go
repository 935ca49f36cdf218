package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// plugin is one code generator: a tool of this module, its parameter, and the files that it is run on.
type plugin struct {
	tool, parameter string
	below           string                        // only files below this import path; empty means all
	finish          func(map[string]string) error // changes the generated files, by import path, before they are written
}

var plugins = []plugin{
	{tool: "protoc-gen-go", parameter: "paths=source_relative"},
	{tool: "protoc-gen-go-grpc", parameter: "paths=source_relative"},
	{tool: "protoc-gen-grpc-gateway", parameter: "paths=source_relative", below: prefix + "api/"},
	{tool: "protoc-gen-openapiv3", parameter: "disable_default_errors=true", below: prefix + "api/", finish: mergeOpenAPI},
}

// run gives the generated files by import path.
func (p plugin) run(set []*descriptorpb.FileDescriptorProto, files []string) (map[string]string, error) {
	var own []string
	for _, f := range files {
		if strings.HasPrefix(f, p.below) {
			own = append(own, f)
		}
	}
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: own, Parameter: &p.parameter, ProtoFile: set,
	})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	tool := exec.Command("go", "tool", p.tool)
	tool.Stdin, tool.Stdout, tool.Stderr = bytes.NewReader(request), &out, os.Stderr
	if err := tool.Run(); err != nil {
		return nil, err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out.Bytes(), &response); err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, errors.New(*response.Error)
	}
	generated := map[string]string{}
	for _, f := range response.File {
		generated[f.GetName()] = f.GetContent()
	}
	return generated, nil
}

// write puts the generated files where their .proto files are.
func write(dir string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(name, prefix)))
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
