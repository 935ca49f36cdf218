// Package demo tells the story of the Berkeley admissions of 1973 on a running server: pooled, men are admitted more often than women;
// department by department the difference mostly vanishes. It is Simpson's paradox on published counts.
package demo

import (
	"context"
	"fmt"
	"io"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/shell"
)

// admissions are the applicants to the six largest departments in autumn 1973: men admitted and rejected, women admitted and rejected.
// P. J. Bickel, E. A. Hammel, J. W. O'Connell, "Sex bias in graduate admissions: data from Berkeley", Science 187 (1975) 398–404.
var admissions = []struct {
	dept string
	n    [4]int64
}{
	{"A", [4]int64{512, 313, 89, 19}},
	{"B", [4]int64{353, 207, 17, 8}},
	{"C", [4]int64{120, 205, 202, 391}},
	{"D", [4]int64{138, 279, 131, 244}},
	{"E", [4]int64{53, 138, 94, 299}},
	{"F", [4]int64{22, 351, 24, 317}},
}

// Applicants is the number of observations in the table.
const Applicants = 4526

// Load creates the table and counts the applicants.
func Load(ctx context.Context, c *client.Client) error {
	if _, err := c.Exec(ctx, "CREATE TABLE admissions (dept text, gender text, admitted text) WITH (partition_by = 'dept')"); err != nil {
		return err
	}
	t := c.Table("admissions")
	for _, d := range admissions {
		for i, n := range d.n {
			gender, admitted := [2]string{"male", "female"}[i/2], [2]string{"yes", "no"}[i%2]
			if err := t.Add(ctx, n, "dept", d.dept, "gender", gender, "admitted", admitted); err != nil {
				return err
			}
		}
	}
	return c.Flush(ctx)
}

// chapter is a paragraph and the statement that it speaks of.
type chapter struct{ before, sql, after string }

var story = []chapter{
	{
		"Were women treated unfairly? Of all applicants together, men were admitted far more often:",
		"SELECT \"row\", \"col\", count, expected, residual FROM crosstab('admissions', 'gender', 'admitted')",
		"",
	},
	{
		"",
		"SELECT chi2_test(gender, admitted) FROM admissions",
		"X² is 92.21 on 1 degree of freedom: chance does not explain that. But nobody applies to a university; one applies\n" +
			"to a department. The same test within each of the six, from the strongest association to the weakest:",
	},
	{
		"",
		"SELECT dept, chi2_test(gender, admitted) FROM admissions GROUP BY dept ORDER BY ln_p",
		"In five of six departments the association vanishes, and in department A, where it does not, women were admitted\n" +
			"more often than men. Women applied to departments that reject most of their applicants, men to those that do not:\n" +
			"the pooled table compares departments and not genders. This is Simpson's paradox.",
	},
}

// Tell runs the story's statements and prints them with their results.
func Tell(ctx context.Context, c *client.Client, out io.Writer) error {
	s := &shell.Session{Conn: shell.API(c, "a node of the demonstration"), Out: out, Err: out, Format: "table"}
	for _, ch := range story {
		if ch.before != "" {
			fmt.Fprintf(out, "\n%s\n", ch.before)
		}
		fmt.Fprintf(out, "\nquipu> %s;\n", ch.sql)
		if err := s.Execute(ctx, ch.sql); err != nil {
			return err
		}
		if ch.after != "" {
			fmt.Fprintf(out, "\n%s\n", ch.after)
		}
	}
	return nil
}
