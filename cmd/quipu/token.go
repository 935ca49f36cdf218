package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/shell"
	"github.com/quipudb/quipu/query/sql"
	"github.com/spf13/cobra"
)

func tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Make, list and drop tokens for programs",
		Long: `A token lets a program in under the name of a role, over gRPC and HTTP. It is shown once; the server keeps its hash only.
Roles are made in SQL: CREATE ROLE web LOGIN; GRANT INSERT ON visits TO web.`,
		Example: `  quipu token create ci --role web --valid-for "90 days"
  quipu token list
  quipu token drop ci --role web`,
	}
	c.AddCommand(tokenCreate(), tokenList(), tokenDrop())
	return c
}

func tokenCreate() *cobra.Command {
	var role, span string
	c := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make a token and print it", Args: exactly(1, "the name of the token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := "CREATE TOKEN " + sql.QuoteIdent(args[0]) + " FOR ROLE " + sql.QuoteIdent(role)
			if span != "" {
				text += " VALID FOR '" + strings.ReplaceAll(span, "'", "''") + "'"
			}
			return talk(cmd, func(ctx context.Context, cl *client.Client) error {
				rows, err := cl.Query(ctx, text)
				if err != nil {
					return err
				}
				defer rows.Close()
				for rows.Next() {
					fmt.Fprintln(cmd.OutOrStdout(), rows.Values()[2])
				}
				return rows.Err()
			})
		},
	}
	c.Flags().StringVar(&role, "role", "", "role that the token is for (required)")
	c.Flags().StringVar(&span, "valid-for", "", `how long it is good, for example "90 days" (default for ever)`)
	c.MarkFlagRequired("role")
	return c
}

func tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tokens: all for who administers, else one's own", Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return talk(cmd, func(ctx context.Context, cl *client.Client) error {
				s := &shell.Session{Conn: shell.API(cl, urlOf(cmd)), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Format: "table"}
				return s.Execute(ctx, "SHOW tokens")
			})
		},
	}
}

func tokenDrop() *cobra.Command {
	var role string
	c := &cobra.Command{
		Use: "drop NAME --role ROLE", Short: "Drop a token: it lets nobody in any more", Args: exactly(1, "the name of the token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return talk(cmd, func(ctx context.Context, cl *client.Client) error {
				rows, err := cl.Query(ctx, "DROP TOKEN "+sql.QuoteIdent(args[0])+" FOR ROLE "+sql.QuoteIdent(role))
				if err != nil {
					return err
				}
				return rows.Close()
			})
		},
	}
	c.Flags().StringVar(&role, "role", "", "role that the token is for (required)")
	c.MarkFlagRequired("role")
	return c
}

// talk connects and runs f.
func talk(cmd *cobra.Command, f func(context.Context, *client.Client) error) (err error) {
	cl, err := connect(cmd)
	if err != nil {
		return err
	}
	defer closing(cmd.Context(), cl, &err)
	return f(cmd.Context(), cl)
}
