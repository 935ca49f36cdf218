package server

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A first start may die at any point before node.json says that the cluster exists; the next one goes on under the same ids.
func TestStartThatDiedInTheBootstrapGoesOn(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"all groups made": func(string) error { return nil },
		"a group missing": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "shards", "1")) },
		"no group made": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "shards")), os.RemoveAll(filepath.Join(dir, "meta")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := start(t, dir)
			born := n.id
			stopNode(t, n)
			unborn := born
			unborn.Unborn = true
			if err := errors.Join(unborn.write(dir), damage(dir)); err != nil {
				t.Fatal(err)
			}
			n = start(t, dir)
			defer stopNode(t, n)
			if n.id != born || n.view().Cluster() != born.Cluster {
				t.Errorf("identity %+v in cluster %s, was %+v", n.id, n.view().Cluster(), born)
			}
			text, err := os.ReadFile(filepath.Join(dir, identityFile))
			var onDisk identity
			if err = errors.Join(err, json.Unmarshal(text, &onDisk)); err != nil || onDisk.Unborn {
				t.Errorf("node.json: %s, %v", text, err)
			}
		})
	}
}
