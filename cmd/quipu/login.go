package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
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
		pool, err := certificates(file)
		if err != nil {
			return nil, err
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

// certificates are those of a file.
func certificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return pool, nil
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

// logIn gives a connection over PostgreSQL's protocol the name, the password and the certificates that flags and environment say.
func logIn(cmd *cobra.Command, config *pgconn.Config) error {
	user, _ := cmd.Flags().GetString("user")
	if user = cmp.Or(user, os.Getenv("QUIPU_USER")); user != "" {
		config.User = user
	}
	if password, ok := os.LookupEnv("QUIPU_PASSWORD"); ok && config.Password == "" {
		config.Password = password
	}
	if config.Password == "" && cmd.Flags().Changed("user") {
		password, err := askPassword(cmd, user)
		if err != nil {
			return err
		}
		config.Password = password
	}
	file, _ := cmd.Flags().GetString("tls-ca")
	if file = cmp.Or(file, os.Getenv("QUIPU_TLS_CA")); file == "" {
		return nil
	}
	pool, err := certificates(file)
	if err != nil {
		return err
	}
	config.TLSConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, ServerName: config.Host}
	config.Fallbacks = nil // one of them may be unencrypted
	return nil
}
