package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/reeflective/readline"
)

// Interactive reads statements and commands from the terminal until \q or the end of input. Ctrl-C ends what runs, or forgets what was typed;
// it does not end the shell.
func (s *Session) Interactive(ctx context.Context, prompt string) error {
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	rl := readline.NewShell()
	rl.Prompt.Primary(func() string { return s.prompt(prompt) })
	rl.Prompt.Secondary(func() string { return continuation(prompt) })
	rl.AcceptMultiline = func(line []rune) bool { return s.whole(string(line)) }
	if err := s.remember(rl); err != nil {
		fmt.Fprintf(s.Err, "WARNING:  there is no history: %v\n", err)
	}
	w := &words{s: s}
	rl.Completer = func(line []rune, cursor int) readline.Completions {
		return candidates(complete(s.split.text.String()+string(line[:cursor]), w.get(ctx)))
	}
	for ctx.Err() == nil && !s.quit {
		line, err := rl.Readline()
		switch {
		case errors.Is(err, io.EOF):
			return s.Close()
		case errors.Is(err, readline.ErrInterrupt):
			s.split.Reset()
			continue
		case err != nil:
			return err
		}
		s.interruptible(ctx, func(ctx context.Context) {
			for l := range strings.SplitSeq(line, "\n") {
				if s.feed(ctx, l) != nil || s.quit { // an error has been printed
					break
				}
			}
		})
		if changesCatalog(s.last) {
			w.stale()
		}
	}
	return s.Close()
}

// interruptible runs f with a context that Ctrl-C ends.
func (s *Session) interruptible(ctx context.Context, f func(context.Context)) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	f(ctx)
}

// prompt says whether a transaction is open, and whether something waits for its semicolon.
func (s *Session) prompt(prompt string) string {
	if s.split.Pending() {
		return continuation(prompt)
	}
	mark := map[State]string{Open: "*", Failed: "!"}[s.Conn.State()]
	if mark == "" {
		return prompt
	}
	return strings.TrimSuffix(prompt, "> ") + mark + "> "
}

// continuation is as wide as the prompt.
func continuation(prompt string) string { return strings.Repeat(" ", max(0, len(prompt)-3)) + "-> " }

// whole says that there is something to run in what was typed, or nothing at all.
func (s *Session) whole(typed string) bool {
	var probe Splitter
	for l := range strings.SplitSeq(s.split.text.String(), "\n") {
		probe.Feed(l)
	}
	items := 0
	for l := range strings.SplitSeq(typed, "\n") {
		items += len(probe.Feed(l))
	}
	return items > 0 || !probe.Pending()
}

// remember gives the shell the history of earlier ones.
func (s *Session) remember(rl *readline.Shell) error {
	path, err := historyFile()
	if err != nil {
		return err
	}
	h, err := openHistory(path)
	if h != nil {
		rl.History.Delete()
		rl.History.Add("quipu", h)
	}
	return err
}

// candidates are completions as readline takes them.
func candidates(c completion) readline.Completions {
	var all []readline.Completion
	for _, g := range c.groups {
		for _, v := range g.values {
			all = append(all, readline.Completion{Value: v, Display: v, Tag: g.kind})
		}
	}
	out := readline.CompleteRaw(all)
	out.PREFIX = c.prefix
	return out
}

func changesCatalog(sql string) bool {
	first, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(sql)), " ")
	return slices.Contains([]string{"create", "alter", "drop"}, first)
}
