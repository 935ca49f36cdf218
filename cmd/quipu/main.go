// Command quipu is the whole of Quipu in one binary: the node, the shell, imports, benchmarks. `quipu help` is the map.
package main

import (
	"cmp"
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
	var absent *absentError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &partial):
		return exitPartial
	case errors.As(err, &absent), errors.Is(err, &client.Error{Code: "UNAVAILABLE"}), errors.Is(err, context.DeadlineExceeded):
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
Ask it:    quipu sql -c "SELECT chi2_test(gender, admitted) FROM admissions"

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no server answers, 4 another writer was faster (context set),
5 done in part (import with rejected rows).`,
		Version:       version(),
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
	c.SetVersionTemplate("quipu {{.Version}}\n")
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	c.AddCommand(demoCommand(), serveCommand(), talks(sqlCommand()), talks(importCommand()), talks(exportCommand()), talks(tableCommand()),
		talks(contextCommand()), talks(leaseCommand()), talks(tokenCommand()), talks(nodeCommand()), talks(clusterCommand()), backupCommand(), recoverCommand(), benchCommand(), versionCommand())
	c.SetHelpCommand(helpCommand())
	for _, group := range append(c.Commands(), c) {
		if group.HasSubCommands() {
			refuseUnknown(group)
		}
	}
	return c
}

// talks gives a command, with its own commands, the flag that names the server.
func talks(c *cobra.Command) *cobra.Command {
	f := c.PersistentFlags()
	f.String("url", "", "server to talk to (default $QUIPU_URL or "+defaultURL+"); several with commas between them; quipus://host:port encrypts the connection")
	f.String("tls-ca", "", "file of certificates to trust instead of the system's; encrypts the connection (default $QUIPU_TLS_CA)")
	f.StringP("user", "U", "", "role to log in as (default $QUIPU_USER), with the password of $QUIPU_PASSWORD or from the terminal; $QUIPU_TOKEN logs in by a token")
	return c
}

const defaultURL = "127.0.0.1:7480"

// helpCommand is cobra's, but for a command that there is not.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [command]", Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("no help about %q (`quipu --help` lists the commands)", strings.Join(args, " "))
			}
			if err != nil {
				return &usageError{err}
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
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
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return &usageError{fmt.Errorf("%s takes %s, got %s (`%s --help`)", c.CommandPath(), what, plural(int64(len(args)), "argument", "arguments"), c.CommandPath())}
		}
		return nil
	}
}

// connect opens a client to the server that --url or $QUIPU_URL names. Failure within five seconds says what was tried.
func connect(cmd *cobra.Command, opts ...client.Option) (*client.Client, error) {
	url := urlOf(cmd)
	if shell.IsPostgres(url) {
		return nil, &usageError{fmt.Errorf("%s speaks gRPC: give it host:port of the API and not a postgres:// address (quipu sql takes both)", cmd.CommandPath())}
	}
	credentials, err := credentialsOf(cmd)
	if err != nil {
		return nil, err
	}
	opts = append(opts, credentials...)
	ctx, cancel := context.WithTimeout(cmd.Context(), connectTimeout)
	defer cancel()
	c, err := client.Open(ctx, url, opts...)
	if err != nil && ctx.Err() != nil && cmd.Context().Err() == nil {
		return nil, &absentError{url, err}
	}
	return c, err
}

// urlOf is the server that --url or $QUIPU_URL names.
func urlOf(cmd *cobra.Command) string {
	url, _ := cmd.Flags().GetString("url")
	return cmp.Or(url, os.Getenv("QUIPU_URL"), defaultURL)
}

// absentError is a server that did not answer in time.
type absentError struct {
	url   string
	cause error
}

func (e *absentError) Error() string {
	text := "no server answers at " + e.url
	if _, dialing, ok := strings.Cut(e.cause.Error(), "dialing: "); ok { // the layers above it say nothing more
		text += ": " + strings.TrimRight(dialing, `"`)
	}
	return text + " (start one with `quipu serve --data-dir ./data`, or name one with --url)"
}

// closing joins the error of Close to that of the command.
func closing(ctx context.Context, c *client.Client, err *error) {
	*err = errors.Join(*err, c.Close(context.WithoutCancel(ctx)))
}
