package shell

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const watchDefault = 2 * time.Second

// watch runs the statement again and again, until Ctrl-C, an error, or as often as c= says.
func (s *Session) watch(ctx context.Context, arg string) error {
	every, times, err := watchArguments(arg)
	if err != nil {
		return err
	}
	sql, err := s.statement()
	if err != nil {
		return err
	}
	pager := s.NoPager
	s.NoPager = true // there is nobody to leave it
	defer func() { s.NoPager = pager }()
	for n := 1; ; n++ {
		fmt.Fprintf(s.Out, "%s (every %v)\n\n", now().Format("Mon 02 Jan 2006 15:04:05"), every)
		if err := s.Execute(ctx, sql); err != nil {
			return err
		}
		if n == times {
			return nil
		}
		fmt.Fprintln(s.Out)
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil
		}
	}
}

// now is the clock of the headings; tests stop it.
var now = time.Now

// watchArguments reads [SECONDS] [i=SECONDS] [c=TIMES]. Without times it goes on.
func watchArguments(arg string) (every time.Duration, times int, err error) {
	every = watchDefault
	for word := range strings.FieldsSeq(arg) {
		name, value, named := strings.Cut(word, "=")
		if !named {
			name, value = "i", word
		}
		switch name {
		case "i", "interval":
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > 86400 {
				return 0, 0, fmt.Errorf("%q is not a number of seconds", value)
			}
			every = time.Duration(seconds * float64(time.Second))
		case "c", "count":
			if times, err = strconv.Atoi(value); err != nil || times < 1 {
				return 0, 0, fmt.Errorf("%q is not a number of times", value)
			}
		default:
			return 0, 0, fmt.Errorf(`\watch takes seconds, i=SECONDS and c=TIMES, not %q`, word)
		}
	}
	return every, times, nil
}

// edit opens what waits, or what ran last, in an editor, and runs what comes back if it ends with a semicolon.
func (s *Session) edit(ctx context.Context, _ string) error {
	if s.Terminal == nil {
		return fmt.Errorf(`\e needs a terminal`)
	}
	f, err := os.CreateTemp("", "quipu-*.sql")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	text := s.take()
	if text == "" && s.last != "" {
		text = s.last + ";"
	}
	if _, err := f.WriteString(text + "\n"); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	editor := "vi"
	for _, name := range []string{"EDITOR", "VISUAL"} {
		if value := os.Getenv(name); value != "" {
			editor = value
		}
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$0"`, f.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", editor, err)
	}
	edited, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Out, strings.TrimRight(string(edited), "\n"))
	return s.feed(ctx, strings.TrimRight(string(edited), "\n"))
}
