package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/quipudb/quipu"

// importRules are the lines of testdata/imports.txt.
type importRules struct {
	may  map[string][]string // pattern of packages → patterns of packages of this module
	only map[string][]string // prefix of another module → patterns of packages of this one
}

func readImportRules(t *testing.T, path string) importRules {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := importRules{may: map[string][]string{}, only: map[string][]string{}}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		left, right, ok := strings.Cut(line, "->")
		if !ok {
			t.Fatalf("%s: a rule without an arrow: %s", path, line)
		}
		left = strings.TrimSpace(left)
		if foreign, isOnly := strings.CutPrefix(left, "only "); isOnly {
			r.only[strings.TrimSpace(foreign)] = strings.Fields(right)
		} else {
			r.may[left] = strings.Fields(right)
		}
	}
	return r
}

// fits reports whether the pattern, a path or "path/...", covers pkg.
func fits(pattern, pkg string) bool {
	folder, below := strings.CutSuffix(pattern, "/...")
	return pkg == folder || below && strings.HasPrefix(pkg, folder+"/")
}

func fitsAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, pkg) })
}

// rule is the one that fits pkg best.
func (r importRules) rule(pkg string) (may []string, ok bool) {
	if may, ok = r.may[pkg]; ok {
		return may, true
	}
	best := ""
	for pattern := range r.may {
		if fits(pattern, pkg) && len(pattern) > len(best) {
			best = pattern
		}
	}
	return r.may[best], best != ""
}

// check lists what is wrong with the imports of pkg.
func (r importRules) check(pkg string, imports []string) (wrong []string) {
	may, ok := r.rule(pkg)
	if !ok {
		return []string{pkg + ": no rule fits it"}
	}
	for _, path := range imports {
		if ours, ok := strings.CutPrefix(path, module+"/"); ok {
			if !fitsAny(may, ours) {
				wrong = append(wrong, pkg+" may not import "+ours)
			}
			continue
		}
		for prefix, users := range r.only {
			if strings.HasPrefix(path, prefix) && !fitsAny(users, pkg) {
				wrong = append(wrong, pkg+" may not import "+path)
			}
		}
	}
	return wrong
}

// goPackage is what `go list` says of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	Export     string // file of export data, with -export
	GoFiles    []string
	Imports    []string
}

func goList(t *testing.T, args ...string) (all []goPackage) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Dir,Export,GoFiles,Imports"}, args...)...)
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(out); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return all
}

// TestImports holds the module to testdata/imports.txt.
func TestImports(t *testing.T) {
	rules := readImportRules(t, filepath.Join("testdata", "imports.txt"))
	packages := goList(t, "./...")
	if len(packages) < 10 {
		t.Fatalf("only %d packages", len(packages))
	}
	for _, p := range packages {
		pkg := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, wrong := range rules.check(pkg, p.Imports) {
			t.Errorf("%s (integration/testdata/imports.txt)", wrong)
		}
	}
}

// TestImportRulesBite: the rules refuse what they are there for.
func TestImportRulesBite(t *testing.T) {
	rules := readImportRules(t, filepath.Join("testdata", "imports.txt"))
	for pkg, path := range map[string]string{
		"fsm/counter":    module + "/query/stats",
		"query/exec":     module + "/fsm",
		"query/stats":    module + "/storage/schema",
		"client":         module + "/storage",
		"storage":        module + "/fsm",
		"server/rpc":     module + "/fsm/meta",
		"server/gateway": module + "/storage",
		"query/plan":     "github.com/hashicorp/raft",
		"fsm/meta":       "github.com/cockroachdb/pebble/v2",
		"unheard/of":     "fmt",
	} {
		if len(rules.check(pkg, []string{path})) == 0 {
			t.Errorf("%s may import %s", pkg, path)
		}
	}
	if wrong := rules.check("fsm/counter", []string{"fmt", module + "/fsm", module + "/storage"}); len(wrong) > 0 {
		t.Errorf("refused without reason: %v", wrong)
	}
}
