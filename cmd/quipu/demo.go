package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/demo"
	"github.com/quipudb/quipu/cmd/internal/shell"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func demoCommand() *cobra.Command {
	var exit bool
	nodes := 1
	c := &cobra.Command{
		Use:   "demo",
		Short: "Start a throw-away node with real data, tell its story, and open the shell",
		Long: `Start a node in a temporary directory, count the applicants to six departments of Berkeley in autumn 1973, ask
whether admission depended on gender, pooled and by department, and open the shell on it. Nothing is needed and nothing stays:
the node and its data go when the shell ends. The usual port 7480 is used if it is free.

With --nodes 3 or 5 the cluster has so many nodes, all in this process, and a writer that counts without pause and keeps its own books. The
shell then has \kill, \restart, \isolate, \heal, and \status, which holds the database to the books, cell by cell.`,
		Example: `  quipu demo
  quipu demo --nodes 3
  quipu demo --exit`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			exit := exit || !term.IsTerminal(int(os.Stdin.Fd()))
			if nodes == 1 {
				return runDemo(cmd, exit)
			}
			if err := demo.CheckNodes(nodes); err != nil {
				return &usageError{err}
			}
			return runClusterDemo(cmd, nodes, exit)
		},
	}
	c.Flags().IntVar(&nodes, "nodes", 1, "nodes of the cluster: 1, 3 or 5")
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
	fmt.Fprintln(out, shellGreeting)
	sh := &shell.Session{Conn: shell.API(c, s.Addr.String()), Out: out, Err: cmd.ErrOrStderr(), Format: "table", Terminal: shell.TerminalOf(os.Stdout)}
	return sh.Interactive(ctx, "demo> ")
}

// runClusterDemo tells the story on a cluster of several nodes, with a writer beside it.
func runClusterDemo(cmd *cobra.Command, nodes int, exit bool) (err error) {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	fmt.Fprintf(out, "starting %d nodes in this process ...\n", nodes)
	cluster, err := demo.Start(ctx, nodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	c, err := client.Open(ctx, cluster.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeIfAble(ctx, c)) }()
	if err := cluster.Settle(ctx, c); err != nil {
		return err
	}
	fmt.Fprintf(out, "cluster  %d nodes, 3 shards of 3 replicas, in a temporary directory (gone when this ends; not for production)\n", nodes)
	fmt.Fprintf(out, "HTTP     http://%s/    gRPC on the same port; a connection goes to a node that is there\n", cluster.Addr())
	if err := demo.Load(ctx, c); err != nil {
		return err
	}
	fmt.Fprintf(out, "loaded   admissions: 6 departments x gender x admitted, %d applicants (Berkeley, autumn 1973)\n", demo.Applicants)
	if err := demo.Tell(ctx, c, out); err != nil {
		return err
	}
	traffic, err := demo.StartTraffic(context.WithoutCancel(ctx), c) // it stops at the end, and not at a Ctrl-C in the shell
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, traffic.Stop()) }()
	fmt.Fprintln(out, "\nA writer counts about 5,000 visits a second into the table visits and keeps its own books.")
	stage := &demo.Stage{Cluster: cluster, Client: c, Traffic: traffic, Out: out}
	if exit {
		return stage.Act(ctx)
	}
	fmt.Fprintln(out, `Do it harm: \kill 2, \restart 2, \isolate 3, \heal; \status compares. Statements end with a semicolon; \? lists commands, \q leaves.`)
	sh := &shell.Session{Conn: shell.API(c, cluster.Addr()), Out: out, Err: cmd.ErrOrStderr(), Format: "table", Terminal: shell.TerminalOf(os.Stdout), Commands: stage.Commands()}
	return sh.Interactive(ctx, "demo> ")
}

// closeIfAble closes a client of a cluster that may have been left without a majority: what the writer had not delivered then goes with the
// cluster, and is no error.
func closeIfAble(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := c.Close(ctx)
	var lost *client.LostError
	if errors.As(err, &lost) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
