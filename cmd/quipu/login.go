package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/quipudb/quipu/client"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// credentialsOf are the options that say who we are and whom we trust, from flags and environment.
func credentialsOf(cmd *cobra.Command) (opts []client.Option, err error) {
	flag := func(name, env string) string {
		value, _ := cmd.Flags().GetString(name)
		return cmp.Or(value, os.Getenv(env))
	}
	if file := flag("tls-ca", "QUIPU_TLS_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
		}
		opts = append(opts, client.WithTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	user := flag("user", "QUIPU_USER")
	token := os.Getenv("QUIPU_TOKEN")
	switch {
	case user != "" && (cmd.Flags().Changed("user") || token == ""):
		password, ok := os.LookupEnv("QUIPU_PASSWORD")
		if !ok {
			if password, err = askPassword(cmd, user); err != nil {
				return nil, err
			}
		}
		opts = append(opts, client.WithPassword(user, password))
	case token != "":
		opts = append(opts, client.WithToken(token))
	}
	return opts, nil
}

// askPassword reads a password from the terminal, where it is not shown.
func askPassword(cmd *cobra.Command, user string) (string, error) {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", &usageError{errors.New("there is no terminal to ask for a password: set QUIPU_PASSWORD, or QUIPU_TOKEN to a token")}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Password for %s: ", user)
	password, err := term.ReadPassword(in)
	fmt.Fprintln(cmd.ErrOrStderr())
	return string(password), err
}
