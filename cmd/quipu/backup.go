package main

import (
	"fmt"
	"io"
	"os"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/backup"
	"github.com/spf13/cobra"
)

// backupCommand keeps a cluster as of one instant and brings it back.
func backupCommand() *cobra.Command {
	c := &cobra.Command{Use: "backup", Short: "Keep a cluster as of one instant in a directory, check it, bring it back"}
	var quiet bool
	c.PersistentFlags().BoolVarP(&quiet, "quiet", "q", false, "say nothing while it goes on")
	progress := func(cmd *cobra.Command) io.Writer {
		if quiet {
			return io.Discard
		}
		return cmd.ErrOrStderr()
	}
	var o backup.Options
	restore := talks(&cobra.Command{
		Use: "restore DIR", Short: "Load a backup into an empty cluster of any size",
		Long: `Load a backup into an empty cluster, whatever its number of nodes and shards. The whole backup is verified first, and the sums of all
tables are compared at the end. A restore that was interrupted goes on when it is started again and counts nothing twice; keep others away
until it is complete. Sessions, idempotency keys, tokens, the history of contexts and records of imports do not travel: the new cluster is
another one, and a writer of the old one is told that its session is over.`,
		Example: `  quipu backup restore ./monday
  QUIPU_PASSWORD=... quipu backup restore ./monday --user admin`,
		Args: exactly(1, "the directory of a backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := backup.Verify(args[0], io.Discard)
			if err != nil {
				return err
			}
			fmt.Fprint(progress(cmd), b.Summary())
			return withClient(func(cmd *cobra.Command, cl *client.Client, _ []string) error {
				if err := backup.Restore(cmd.Context(), cl, b, o, progress(cmd)); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "restored %s\n", args[0])
				return err
			})(cmd, args)
		},
	})
	restore.Flags().BoolVar(&o.NoRoles, "no-roles", false, "leave roles and grants out")
	c.AddCommand(talks(&cobra.Command{
		Use: "create DIR", Short: "Write the cluster as of one instant into a new directory",
		Long: `Write definitions, roles with their grants and passwords' verifiers, contexts and all counts, as of one instant, into a new directory.
Writing goes on meanwhile. The directory gets its name when it is whole; until then it is called DIR.partial. It holds what passwords are
proved against: keep it as you keep the cluster's disks.`,
		Example: `  quipu backup create ./monday && quipu backup verify ./monday`,
		Args:    exactly(1, "a directory that is not there yet"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			if err := backup.Create(cmd.Context(), cl, args[0], progress(cmd)); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "backup %s is whole\n", args[0])
			return err
		}),
	}), &cobra.Command{
		Use: "verify DIR", Short: "Read a backup and hold every file to its digest, without a server",
		Example: `  quipu backup verify ./monday`,
		Args:    exactly(1, "the directory of a backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return err
			}
			b, err := backup.Verify(args[0], io.Discard)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%sbackup %s is whole\n", b.Summary(), args[0])
			return err
		},
	}, restore)
	return c
}
