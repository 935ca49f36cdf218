// Command quipu is the whole of Quipu in one binary: the node, the shell, imports, benchmarks. `quipu help` is the map.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/shell"
	"github.com/spf13/cobra"
)

// Exit codes, the same for every command.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotReady = 3
	exitConflict = 4
	exitPartial  = 5
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err != nil {
		if !errors.Is(err, shell.ErrFailed) {
			fmt.Fprintln(os.Stderr, "quipu:", strings.TrimPrefix(err.Error(), "quipu: "))
		}
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	var usage *usageError
	var partial *partialError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &partial):
		return exitPartial
	case errors.Is(err, &client.Error{Code: "UNAVAILABLE"}), errors.Is(err, context.DeadlineExceeded):
		return exitNotReady
	case errors.Is(err, &client.Error{Code: "CONFLICT"}):
		return exitConflict
	}
	return exitFailed
}

// usageError is a command line that says too little or too much.
type usageError struct{ error }

// partialError is a command that did a part of its work.
type partialError struct{ error }

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "quipu",
		Short: "A replicated statistics database: exact counters, one-instant snapshots, contingency tests in SQL",
		Long: `Quipu counts how often each combination of categories was observed, exactly once however often a
write is retried, and answers chi-square and its family in SQL over one consistent snapshot.

Try it:    quipu demo
Run it:    quipu serve --data-dir ./data
Ask it:    quipu sql -c "SELECT chi2_test(gender, admitted) FROM admissions"`,
		SilenceUsage:  true,
		SilenceErrors: true,
		// Before cobra looks itself, so that a missing flag is an error of usage.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.ValidateRequiredFlags(); err != nil {
				return &usageError{err}
			}
			return nil
		},
	}
	c.PersistentFlags().String("url", "", "server to talk to (default $QUIPU_URL or 127.0.0.1:7480)")
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	c.AddCommand(demoCommand(), serveCommand(), sqlCommand(), importCommand(), exportCommand(), tableCommand(), contextCommand(),
		benchCommand(), versionCommand())
	for _, group := range append(c.Commands(), c) {
		if group.HasSubCommands() {
			refuseUnknown(group)
		}
	}
	return c
}

// refuseUnknown makes a word that names no command of the group an error of usage; without a word the group prints its help.
func refuseUnknown(group *cobra.Command) {
	group.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return &usageError{errors.New(text + " (`" + cmd.CommandPath() + " --help` lists the commands)")}
	}
	group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// exactly is cobra.ExactArgs with our exit code.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return &usageError{fmt.Errorf("want %s, got %d arguments", what, len(args))}
		}
		return nil
	}
}

// connect opens a client to the server that --url or $QUIPU_URL names. Failure within five seconds says what was tried.
func connect(cmd *cobra.Command, opts ...client.Option) (*client.Client, error) {
	url, _ := cmd.Flags().GetString("url")
	if url == "" {
		url = os.Getenv("QUIPU_URL")
	}
	if url == "" {
		url = "127.0.0.1:7480"
	}
	if token := os.Getenv("QUIPU_TOKEN"); token != "" {
		opts = append(opts, client.WithToken(token))
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), connectTimeout)
	defer cancel()
	c, err := client.Open(ctx, url, opts...)
	if err != nil {
		return nil, fmt.Errorf("no server answers at %s (start one with `quipu serve --data-dir ./data`, or name one with --url): %w", url, err)
	}
	return c, nil
}

// closing joins the error of Close to that of the command.
func closing(ctx context.Context, c *client.Client, err *error) {
	*err = errors.Join(*err, c.Close(context.WithoutCancel(ctx)))
}
