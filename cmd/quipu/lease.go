package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/spf13/cobra"
)

func leaseCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lease",
		Short: "Take, renew and release leases: names that one holder has for a time",
		Example: `  quipu lease acquire jobs/nightly --holder worker-3 --ttl 30s
  quipu lease renew jobs/nightly --holder worker-3 --fence 1042 --ttl 30s
  quipu lease release jobs/nightly --holder worker-3 --fence 1042
  quipu lease list jobs/`,
	}
	c.AddCommand(leaseAcquire(), leaseRenew(), leaseRelease(), leaseGet(), leaseList())
	return c
}

// leaseFlags are who holds a lease, under which fence and for how long.
type leaseFlags struct {
	holder string
	fence  uint64
	ttl    time.Duration
}

func (f *leaseFlags) add(c *cobra.Command, fenced, timed bool) *cobra.Command {
	host, err := os.Hostname()
	if err != nil || strings.Contains(host, "/") {
		host = "shell"
	}
	c.Flags().StringVar(&f.holder, "holder", host, "name of the holder")
	if fenced {
		c.Flags().Uint64Var(&f.fence, "fence", 0, "fence that it was acquired under")
	}
	if timed {
		c.Flags().DurationVar(&f.ttl, "ttl", 30*time.Second, "time that it lasts, 1s to 24h")
	}
	return c
}

func leaseAcquire() *cobra.Command {
	var f leaseFlags
	return f.add(&cobra.Command{Use: "acquire NAME", Short: "Take a lease that nobody else holds, under a new fence", Args: exactly(1, "one name"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			l, err := cl.AcquireLease(cmd.Context(), args[0], f.holder, f.ttl)
			if err != nil {
				return err
			}
			return printLease(cmd.OutOrStdout(), l)
		})}, false, true)
}

func leaseRenew() *cobra.Command {
	var f leaseFlags
	return f.add(&cobra.Command{Use: "renew NAME", Short: "Give a lease its whole time again", Args: exactly(1, "one name"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			l := cl.HeldLease(args[0], f.holder, f.fence)
			if err := l.Renew(cmd.Context(), f.ttl); err != nil {
				return err
			}
			return printLease(cmd.OutOrStdout(), l)
		})}, true, true)
}

func leaseRelease() *cobra.Command {
	var f leaseFlags
	return f.add(&cobra.Command{Use: "release NAME", Short: "End a lease before its time", Args: exactly(1, "one name"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			return cl.HeldLease(args[0], f.holder, f.fence).Release(cmd.Context())
		})}, true, false)
}

func leaseGet() *cobra.Command {
	return &cobra.Command{Use: "get NAME", Short: "Say who holds a lease", Args: exactly(1, "one name"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			l, err := cl.Lease(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printLease(cmd.OutOrStdout(), l)
		})}
}

func leaseList() *cobra.Command {
	return &cobra.Command{Use: "list [PREFIX]", Short: "List the leases that are held", Args: cobra.MaximumNArgs(1),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			list, err := cl.Leases(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			for _, l := range list {
				if err := printLease(cmd.OutOrStdout(), l); err != nil {
					return err
				}
			}
			return nil
		})}
}

// printLease is one line: name, holder, fence and what is left of it.
func printLease(w io.Writer, l *client.Lease) error {
	_, err := fmt.Fprintf(w, "%s  held by %s  fence %d  %v of %v left\n", l.Name, l.Holder, l.Fence, l.Remaining.Round(time.Millisecond), l.TTL)
	return err
}
