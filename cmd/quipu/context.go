package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/spf13/cobra"
)

func contextCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "context",
		Short: "Read and change metadata contexts: named, versioned records that steer collection",
		Example: `  quipu context set prod sample_rate=0.1 window_sec=60
  quipu context get prod
  quipu context set prod sample_rate=0.2 window_sec=60 --if-version 1
  quipu context watch`,
	}
	c.AddCommand(contextGet(), contextSet(), contextHistory(), contextList(), contextRevert(), contextDelete(), contextWatch())
	return c
}

// withClient runs f with a connection.
func withClient(f func(*cobra.Command, *client.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		cl, err := connect(cmd)
		if err != nil {
			return err
		}
		defer closing(cmd.Context(), cl, &err)
		return f(cmd, cl, args)
	}
}

func contextGet() *cobra.Command {
	return &cobra.Command{Use: "get NAME", Short: "Show a context", Args: exactly(1, "one name"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			r, err := cl.Context(args[0]).Get(cmd.Context())
			if err != nil {
				return err
			}
			return printRecord(cmd.OutOrStdout(), r)
		})}
}

func contextSet() *cobra.Command {
	var version uint64
	c := &cobra.Command{Use: "set NAME KEY=VALUE…", Short: "Replace the values of a context if it still has the version given",
		Args: cobra.MinimumNArgs(2),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			values := map[string]string{}
			for _, kv := range args[1:] {
				k, v, ok := strings.Cut(kv, "=")
				if !ok || k == "" {
					return &usageError{fmt.Errorf("%q is not of the form key=value", kv)}
				}
				values[k] = v
			}
			r, err := cl.Context(args[0]).CompareAndSet(cmd.Context(), version, values)
			if errors.Is(err, &client.Error{Code: "CONFLICT"}) {
				return fmt.Errorf("%w; read it with `quipu context get %s`, then set it with --if-version", err, args[0])
			}
			if err != nil {
				return err
			}
			return printRecord(cmd.OutOrStdout(), r)
		})}
	c.Flags().Uint64Var(&version, "if-version", 0, "version that was read; 0 means that there is none yet")
	return c
}

func contextRevert() *cobra.Command {
	var version, to uint64
	c := &cobra.Command{Use: "revert NAME --to VERSION", Short: "Bring back the values of an earlier version of a context, as its next one", Args: exactly(1, "one name"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			r, err := cl.Context(args[0]).Revert(cmd.Context(), version, to)
			if err != nil {
				return err
			}
			return printRecord(cmd.OutOrStdout(), r)
		})}
	c.Flags().Uint64Var(&version, "if-version", 0, "version that was read")
	c.Flags().Uint64Var(&to, "to", 0, "version whose values come back; history shows them")
	return c
}

func contextDelete() *cobra.Command {
	var version uint64
	c := &cobra.Command{Use: "delete NAME", Short: "Delete a context if it still has the version given", Args: exactly(1, "one name"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			r, err := cl.Context(args[0]).Delete(cmd.Context(), version)
			if err != nil {
				return err
			}
			return printRecord(cmd.OutOrStdout(), r)
		})}
	c.Flags().Uint64Var(&version, "if-version", 0, "version that was read")
	return c
}

func contextHistory() *cobra.Command {
	return &cobra.Command{Use: "history NAME", Short: "Show the versions of a context, newest first", Args: exactly(1, "one name"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			rs, err := cl.Context(args[0]).History(cmd.Context())
			if err != nil {
				return err
			}
			return printRecords(cmd.OutOrStdout(), rs)
		})}
}

func contextList() *cobra.Command {
	return &cobra.Command{Use: "list [PREFIX]", Short: "List contexts", Args: cobra.MaximumNArgs(1),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			rs, err := cl.Contexts(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			return printRecords(cmd.OutOrStdout(), rs)
		})}
}

func contextWatch() *cobra.Command {
	var after uint64
	c := &cobra.Command{Use: "watch [PREFIX]", Short: "Follow the changes of contexts until interrupted", Args: cobra.MaximumNArgs(1),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			for e, err := range cl.WatchContexts(cmd.Context(), strings.Join(args, ""), after) {
				if cmd.Context().Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				if e.Gap {
					fmt.Fprintln(cmd.ErrOrStderr(), "earlier changes are no longer known; what follows is the present state")
					continue
				}
				if err := printRecord(cmd.OutOrStdout(), e.Record); err != nil {
					return err
				}
			}
			return nil
		})}
	c.Flags().Uint64Var(&after, "after", 0, "revision that was seen last")
	return c
}

func printRecords(w io.Writer, rs []client.Record) error {
	for _, r := range rs {
		if err := printRecord(w, r); err != nil {
			return err
		}
	}
	return nil
}

// printRecord is one line: name, version, revision, then the values in order of their keys.
func printRecord(w io.Writer, r client.Record) error {
	line := fmt.Sprintf("%s  version %d  revision %d  %s", r.Name, r.Version, r.Revision, r.ModifiedAt.Format(time.RFC3339))
	if r.ModifiedBy != "" {
		line += " by " + r.ModifiedBy
	}
	if r.Deleted {
		line += "  deleted"
	}
	for _, k := range slices.Sorted(maps.Keys(r.Values)) {
		v, err := json.Marshal(r.Values[k])
		if err != nil {
			return err
		}
		line += "  " + k + "=" + string(v)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
