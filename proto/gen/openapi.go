package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// handlers is the hand-kept part of the OpenAPI document: its head, and the resources that plain HTTP handlers serve.
const handlers = "handlers.openapi.json"

// merged is where the whole document goes; the package there embeds it.
const merged = prefix + "api/openapi/openapi.json"

// mergeOpenAPI replaces the documents of the single .proto files in files by one document.
func mergeOpenAPI(files map[string]string) error {
	dir, err := os.MkdirTemp("", "quipu-openapi")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var parts []string
	for name, content := range files {
		if !strings.HasSuffix(name, ".openapi.json") {
			continue
		}
		delete(files, name)
		part := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(part, []byte(content), 0o600); err != nil {
			return err
		}
		parts = append(parts, part)
	}
	slices.Sort(parts)
	var out bytes.Buffer
	merge := exec.Command("go", append([]string{"tool", "openapiv3-merge", handlers}, parts...)...)
	merge.Stdout, merge.Stderr = &out, os.Stderr
	if err := merge.Run(); err != nil {
		return err
	}
	files[merged] = out.String()
	return nil
}
