package shell

import (
	"slices"
	"strings"
	"testing"
)

var testVocabulary = vocabulary{
	tables: []relation{
		{"public", "admissions", []string{"dept", "gender", "admitted", "count"}},
		{"public", "Odd Name", []string{"größe", "count"}},
		{"quipu", "shards", []string{"shard", "leader"}},
	},
	functions: []string{"chi2_p", "chi2_test", "cramers_v", "crosstab", "gini"},
	settings:  []string{"quipu.max_staleness", "quipu.read_consistency", "statement_timeout"},
	roles:     []string{"ada", "grace"},
	commands:  []string{`\d`, `\plot`, `\q`, `\watch`},
}

// TestCompletion completes at the end of each text. What is wanted are all candidates, or some of them after "…".
func TestCompletion(t *testing.T) {
	for text, want := range map[string]string{
		"sel":                                  "select",
		"SEL":                                  "SELECT",
		"SELECT 1; dro":                        "drop table, drop role",
		"select ge":                            "gender",
		"select gin":                           "gini(",
		"select adm":                           "admitted",
		"select * from adm":                    "admissions",
		"select * from admissions a, o":        "",
		`select * from "O`:                     `"Odd Name"`,
		"select * from quipu.s":                "shards",
		"select * from admissions\nwhere d":    "dept, distinct, desc, default",
		"select * from admissions a where a.g": "gender",
		"select * from admissions as x where x.d": "dept",
		"select l from quipu.shards where lea":    "leader",
		"select 'from adm":                        "",
		"select chi2_":                            "chi2_p(, chi2_test(",
		"select * from crosstab('ad":              "admissions",
		"select * from crosstab('admissions', 'a": "admitted",
		"select * from crosstab('nope', 'a":       "",
		"select x -- from\n, de":                  "dept, desc, default",
		"insert into adm":                         "admissions",
		"set quipu.r":                             "",
		"set ":                                    "quipu.max_staleness, quipu.read_consistency, statement_timeout",
		"show stat":                               "statement_timeout",
		"alter role ada set sta":                  "statement_timeout",
		"grant select on adm":                     "admissions",
		"grant select on admissions to g":         "grace",
		`\`:                                       `…\plot, \q`,
		`\plo`:                                    `\plot`,
		`\d adm`:                                  "admissions",
		`\plot admissions gender ad`:              "admitted",
		`\x a`:                                    "auto",
		`\format nd`:                              "ndjson",
		`select 1 \w`:                             `\watch`,
	} {
		t.Run(text, func(t *testing.T) {
			var got []string
			for _, g := range complete(text, testVocabulary).groups {
				got = append(got, g.values...)
			}
			if some, ok := strings.CutPrefix(want, "…"); ok {
				for w := range strings.SplitSeq(some, ", ") {
					if !slices.Contains(got, w) {
						t.Errorf("%s is not among %v", w, got)
					}
				}
			} else if strings.Join(got, ", ") != want {
				t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
			}
		})
	}
}

// FuzzComplete wants candidates that begin as the text ends, and no panic.
func FuzzComplete(f *testing.F) {
	for _, seed := range []string{"select * from crosstab('admissions', 'a", `select "a`, "a.b.", `\plot x y`, "(((", "'", "select a.", "\xff."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := complete(text, testVocabulary)
		if !strings.HasSuffix(text, c.prefix) {
			t.Errorf("%q is no end of %q", c.prefix, text)
		}
		for _, g := range c.groups {
			for _, v := range g.values {
				if !strings.HasPrefix(v, c.prefix) {
					t.Errorf("%q does not begin with %q", v, c.prefix)
				}
			}
		}
	})
}
