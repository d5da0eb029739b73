package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"batpak/component"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/synadia-io/orbit.go/natscontext"
)

// Defaults of the connection.
const (
	defaultJournal = "main"
	defaultTimeout = 5 * time.Second
)

// connection says where a journal is, as flags and environment do.
type connection struct {
	server, context        string
	creds, nkey            string
	user, password, token  string
	tlsCert, tlsKey, tlsCA string
	timeout                time.Duration
	journal, prefix        string
	flags                  *pflag.FlagSet
}

// variables are the environment's names for the flags.
var variables = map[string]string{
	"server": "NATS_URL", "context": "NATS_CONTEXT", "creds": "NATS_CREDS", "nkey": "NATS_NKEY",
	"user": "NATS_USER", "password": "NATS_PASSWORD", "token": "NATS_TOKEN",
	"tlscert": "NATS_CERT", "tlskey": "NATS_KEY", "tlsca": "NATS_CA", "timeout": "NATS_TIMEOUT",
}

// bind gives a command the flags of a connection.
func (c *connection) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	c.flags = f
	// --url is another name of --server.
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "url" {
			name = "server"
		}
		return pflag.NormalizedName(name)
	})
	f.StringVarP(&c.server, "server", "s", "", "NATS server `URL`s, comma-separated; --url is the same ($NATS_URL)")
	f.StringVar(&c.context, "context", "", "nats context, by `name` or absolute path ($NATS_CONTEXT)")
	f.StringVar(&c.creds, "creds", "", "user credentials `file` ($NATS_CREDS)")
	f.StringVar(&c.nkey, "nkey", "", "nkey seed `file` ($NATS_NKEY)")
	f.StringVar(&c.user, "user", "", "user `name` ($NATS_USER)")
	f.StringVar(&c.password, "password", "", "password ($NATS_PASSWORD)")
	f.StringVar(&c.token, "token", "", "token ($NATS_TOKEN)")
	f.StringVar(&c.tlsCert, "tlscert", "", "client certificate `file` ($NATS_CERT)")
	f.StringVar(&c.tlsKey, "tlskey", "", "client key `file` ($NATS_KEY)")
	f.StringVar(&c.tlsCA, "tlsca", "", "certificate authority `file` ($NATS_CA)")
	f.DurationVar(&c.timeout, "timeout", defaultTimeout, "how long to wait for an answer ($NATS_TIMEOUT)")
	f.StringVar(&c.journal, "journal", defaultJournal, "journal `name`")
	f.StringVar(&c.prefix, "prefix", component.DefaultPrefix, "what subjects begin with")
}

// complete takes from the environment what no flag says. An authentication by flags is not mixed
// with another one from the environment.
func (c *connection) complete() error {
	auth := c.creds != "" || c.nkey != "" || c.user != "" || c.token != ""
	for name, value := range map[string]*string{
		"server": &c.server, "context": &c.context, "tlscert": &c.tlsCert, "tlskey": &c.tlsKey, "tlsca": &c.tlsCA,
	} {
		if !c.flags.Changed(name) {
			*value = os.Getenv(variables[name])
		}
	}
	if c.flags.Changed("server") && !c.flags.Changed("context") {
		c.context = ""
	}
	if !auth {
		c.creds, c.nkey = os.Getenv("NATS_CREDS"), os.Getenv("NATS_NKEY")
		c.user, c.token = os.Getenv("NATS_USER"), os.Getenv("NATS_TOKEN")
	}
	if !c.flags.Changed("password") {
		c.password = os.Getenv("NATS_PASSWORD")
	}
	if text := os.Getenv("NATS_TIMEOUT"); text != "" && !c.flags.Changed("timeout") {
		d, err := time.ParseDuration(text)
		if err != nil {
			return &usageError{fmt.Errorf("NATS_TIMEOUT: %w", err)}
		}
		c.timeout = d
	}
	if c.timeout <= 0 {
		return &usageError{errors.New("--timeout must be more than nothing")}
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		return &usageError{errors.New("--tlscert and --tlskey go together")}
	}
	return nil
}

// named says whether flags or environment name a server or a context. Complete comes before.
func (c *connection) named() bool { return c.server != "" || c.context != "" }

// onlyName is the journal's name when a flag says it, for a directory that has a name already.
func (c *connection) onlyName() string {
	if !c.flags.Changed("journal") {
		return ""
	}
	return c.journal
}

// connect opens the connection. Complete comes before.
func (c *connection) connect(options ...nats.Option) (*nats.Conn, error) {
	mine, err := c.options()
	if err != nil {
		return nil, err
	}
	options = append(mine, options...)
	var nc *nats.Conn
	if c.server != "" && c.context == "" {
		nc, err = nats.Connect(c.server, options...)
	} else {
		nc, _, err = natscontext.Connect(c.context, options...)
	}
	if err != nil {
		return nil, &connectError{where: c.where(), err: err}
	}
	return nc, nil
}

func (c *connection) where() string {
	switch {
	case c.server != "":
		return redacted(c.server)
	case c.context != "":
		return "the servers of context " + c.context
	default:
		return "the servers of the selected nats context, or " + nats.DefaultURL
	}
}

// redacted is a list of URLs without what is secret in them.
func redacted(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		u = strings.TrimSpace(u)
		if at := strings.LastIndexByte(u, '@'); at >= 0 {
			scheme, _, found := strings.Cut(u, "://")
			if !found || len(scheme) > at {
				scheme = "nats"
			}
			u = scheme + "://" + u[at+1:]
		}
		list[i] = u
	}
	return strings.Join(list, ",")
}

// options are the connection's, in the order in which they win over those of a context.
func (c *connection) options() ([]nats.Option, error) {
	options := []nats.Option{nats.Name("batpak"), nats.Timeout(c.timeout)}
	if c.server != "" {
		options = append(options, func(o *nats.Options) error {
			o.Servers = strings.Split(strings.ReplaceAll(c.server, " ", ""), ",")
			return nil
		})
	}
	if c.creds != "" || c.nkey != "" || c.user != "" || c.token != "" {
		options = append(options, func(o *nats.Options) error { // instead of the context's
			o.User, o.Password, o.Token, o.Nkey = "", "", "", ""
			o.UserJWT, o.SignatureCB = nil, nil
			return nil
		})
	}
	switch {
	case c.creds != "":
		options = append(options, nats.UserCredentials(c.creds))
	case c.nkey != "":
		key, err := nats.NkeyOptionFromSeed(c.nkey)
		if err != nil {
			return nil, fmt.Errorf("--nkey %s: %w", c.nkey, err)
		}
		options = append(options, key)
	case c.user != "":
		options = append(options, nats.UserInfo(c.user, c.password))
	case c.token != "":
		options = append(options, nats.Token(c.token))
	}
	if c.tlsCert != "" {
		options = append(options, nats.ClientCert(c.tlsCert, c.tlsKey))
	}
	if c.tlsCA != "" {
		options = append(options, nats.RootCAs(c.tlsCA))
	}
	return options, nil
}

// client opens the connection and gives a client of the journal. The caller closes the connection.
func (c *connection) client() (*nats.Conn, *component.Client, error) {
	if err := c.complete(); err != nil {
		return nil, nil, err
	}
	// The names are checked before anybody is asked.
	nc, err := c.connect()
	if err != nil {
		return nil, nil, err
	}
	client, err := component.NewClient(nc, component.ClientOptions{Journal: c.journal, Prefix: c.prefix, Timeout: c.timeout})
	if err != nil {
		nc.Close()
		return nil, nil, &usageError{err}
	}
	return nc, client, nil
}

// withClient makes a command's run function of one that has a client.
func (c *connection) withClient(do func(ctx context.Context, client *component.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		nc, client, err := c.client()
		if err != nil {
			return err
		}
		defer nc.Close()
		return do(cmd.Context(), client, args)
	}
}
