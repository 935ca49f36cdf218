package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/demo"
	"github.com/quipudb/quipu/cmd/internal/shell"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func demoCommand() *cobra.Command {
	var exit bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Start a throw-away node with real data, tell its story, and open the shell",
		Long: `Start a node in a temporary directory, count the applicants to six departments of Berkeley in autumn 1973, ask
whether admission depended on gender, pooled and by department, and open the shell on it. Nothing is needed and nothing stays:
the node and its data go when the shell ends. The usual port 7480 is used if it is free.`,
		Example: `  quipu demo
  quipu demo --exit`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd, exit || !term.IsTerminal(int(os.Stdin.Fd())))
		},
	}
	c.Flags().BoolVar(&exit, "exit", false, "end after the story instead of opening the shell")
	return c
}

func runDemo(cmd *cobra.Command, exit bool) (err error) {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	s, remove, err := throwAway(ctx)
	if err != nil {
		return err
	}
	defer remove()
	defer func() { err = errors.Join(err, s.Close()) }()
	c, err := client.Open(ctx, s.Addr.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	info, err := c.Server(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "node     %s, %d shards, in a temporary directory (gone when this ends; not for production)\n", info.NodeID, info.Shards)
	fmt.Fprintf(out, "HTTP     http://%s/    gRPC on the same port\n", s.Addr)
	if err := demo.Load(ctx, c); err != nil {
		return err
	}
	fmt.Fprintf(out, "loaded   admissions: 6 departments x gender x admitted, %d applicants (Berkeley, autumn 1973)\n", demo.Applicants)
	if err := demo.Tell(ctx, c, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nTry it:  curl -G http://%s/v1/query --data-urlencode \"sql=SELECT chi2_test(gender, admitted) FROM admissions\"\n", s.Addr)
	if exit {
		return nil
	}
	fmt.Fprintln(out, `Statements end with a semicolon; \? lists commands, \q leaves.`)
	sh := &shell.Session{Client: c, Out: out, Err: cmd.ErrOrStderr(), Format: "table"}
	return sh.Interactive(ctx, "demo> ")
}
