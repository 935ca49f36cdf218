package backup

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func ExampleAppendCell() {
	c := Cell{Values: [][]byte{[]byte("a\tb"), nil, []byte("")}, Window: 3_600_000, Count: 42}
	fmt.Printf("%q", AppendCell(nil, &c, true))
	// Output: "a\\tb\t\\N\t\t3600000\t42\n"
}

func FuzzCell(f *testing.F) {
	for _, s := range []string{"a\t1", `\N` + "\t-7", `\\\t\n\r` + "\t0", "a\\\t1", "\t9223372036854775807", "a\t01", "a\t"} {
		f.Add([]byte(s), false)
		f.Add([]byte(s+"\t5"), true)
	}
	f.Fuzz(func(t *testing.T, line []byte, windowed bool) {
		c, err := ParseCell(line, 1, windowed)
		if err != nil {
			return
		}
		again := AppendCell(nil, &c, windowed)
		if string(again) != string(line)+"\n" {
			t.Fatalf("%q is written as %q", line, again)
		}
	})
}

func FuzzCellValues(f *testing.F) {
	f.Add([]byte("a"), []byte{'\\', 'N'}, int64(math.MinInt64), int64(math.MaxInt64))
	f.Add([]byte("\t\n\r\\"), []byte{}, int64(0), int64(-1))
	f.Fuzz(func(t *testing.T, a, b []byte, window, count int64) {
		in := Cell{Values: [][]byte{append([]byte{}, a...), append([]byte{}, b...)}, Window: window, Count: count}
		line := AppendCell(nil, &in, true)
		if bytes.Count(line, []byte{'\n'}) != 1 {
			t.Fatalf("%q is not one line", line)
		}
		out, err := ParseCell(bytes.TrimSuffix(line, []byte{'\n'}), 2, true)
		if err != nil || !reflect.DeepEqual(in, out) {
			t.Fatalf("%+v came back as %+v, %v", in, out, err)
		}
	})
}

func someFiles() []File {
	return []File{
		{Name: ClusterFile, SHA256: sha256.Sum256([]byte("x")), Size: 1, Rows: 1},
		{Name: CellsFile(3, 12), SHA256: sha256.Sum256([]byte("y")), Size: 1 << 40, Rows: 7, Sum: math.MaxUint64},
	}
}

func manifest(t testing.TB, files []File) []byte {
	var b bytes.Buffer
	if err := WriteManifest(&b, files); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestManifestComesBackAsItWas(t *testing.T) {
	got, err := ReadManifest(bytes.NewReader(manifest(t, someFiles())))
	if err != nil || !reflect.DeepEqual(got, someFiles()) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestDamagedManifestIsRefused(t *testing.T) {
	text := manifest(t, someFiles())
	for i := range text {
		for _, bit := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(text)
			bad[i] ^= bit
			if files, err := ReadManifest(bytes.NewReader(bad)); err == nil {
				t.Fatalf("bit %x of byte %d flipped: read as %+v", bit, i, files)
			}
		}
		if _, err := ReadManifest(bytes.NewReader(text[:i])); err == nil {
			t.Fatalf("cut off at byte %d and read", i)
		}
	}
	newer := strings.Replace(string(text), "quipu-backup 1", "quipu-backup 2", 1)
	if _, err := ReadManifest(strings.NewReader(newer)); err == nil || !strings.Contains(err.Error(), "a newer one") {
		t.Errorf("of a newer format: %v", err)
	}
	twice := append(someFiles(), someFiles()[0])
	if _, err := ReadManifest(bytes.NewReader(manifest(t, twice))); err == nil || !strings.Contains(err.Error(), "listed twice") {
		t.Errorf("a file listed twice: %v", err)
	}
}

func TestNamesStayInTheDirectory(t *testing.T) {
	for _, name := range []string{"", "..", "/etc/passwd", "cells/../x", "cells/1-2.tsv", "cells/00001-02.tsv/", "cells//00001-02.tsv", "MANIFEST", "cells/00001-02.tsv x", "cells/-0001-02.tsv"} {
		if ValidName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
	for _, name := range []string{ClusterFile, RolesFile, CellsFile(0, 0), CellsFile(123456, 63)} {
		if err := ValidName(name); err != nil {
			t.Error(err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(manifest(f, someFiles()))
	f.Add(manifest(f, nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		files, err := ReadManifest(bytes.NewReader(text))
		if err != nil {
			return
		}
		if again, err := ReadManifest(bytes.NewReader(manifest(t, files))); err != nil || !reflect.DeepEqual(files, again) {
			t.Fatalf("%+v came back as %+v, %v", files, again, err)
		}
	})
}
