package records

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestNDJSON(t *testing.T) {
	in := strings.Join([]string{
		`{"a": "x", "n": 9007199254740993, "b": true, "z": null}`,
		``,
		`{"a": [1]}`,
		`[1]`,
		`{"a": 1, "a": 2}`,
		`{"a": 1} {"a": 2}`,
		`{"a": `,
		`{"a": "last"}`,
	}, "\n")
	n := NewNDJSON(strings.NewReader(in))
	first, err := n.Next()
	if err != nil || first["a"].Text != "x" || first["n"].Text != "9007199254740993" || first["b"].Text != "true" || !first["z"].Null {
		t.Fatalf("first record %v, %v", first, err)
	}
	for _, want := range []string{
		`line 3: value of "a" is an object or a list`, "line 4: not a JSON object", `line 5: key "a" stands twice`,
		"line 6: more than one value", "line 7: not valid JSON",
	} {
		_, err := n.Next()
		var bad *BadRecord
		if !errors.As(err, &bad) || !strings.HasPrefix(bad.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if last, err := n.Next(); err != nil || last["a"].Text != "last" {
		t.Errorf("last record %v, %v", last, err)
	}
	if _, err := n.Next(); err != io.EOF {
		t.Errorf("after the last record: %v", err)
	}
}
