package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/config"
)

// adminFlags say which running gateway a command talks to.
type adminFlags struct {
	Config string `short:"c" help:"Configuration file of the gateway. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." placeholder:"FILE"`
	Admin  string `help:"Address of its admin listener. Default: admin.listen of the configuration." placeholder:"HOST:PORT"`
}

// client is the admin API of a running gateway.
type client struct {
	base string
	http *http.Client
}

// client finds the gateway.
func (f adminFlags) client(a *app) (*client, error) {
	at := f.Admin
	if at == "" {
		cfg, ps := config.Inspect(a.configPath(f.Config), a.host)
		switch {
		case cfg == nil:
			return nil, fmt.Errorf("%w; --admin names a running gateway without its configuration", listed("configuration", ps))
		case !cfg.Admin.Listen.IsValid():
			return nil, errors.New("the admin listener is off (admin.listen), so a running gateway cannot be asked")
		}
		at = cfg.Admin.Listen.String()
	}
	at = strings.TrimSuffix(strings.TrimPrefix(at, "http://"), "/")
	if strings.ContainsAny(at, "/@") {
		return nil, usageError{fmt.Errorf("--admin: %q is not HOST:PORT; the admin listener speaks HTTP on the loopback interface", at)}
	}
	return &client{"http://" + at, &http.Client{Timeout: time.Minute, Transport: &http.Transport{Proxy: nil}}}, nil
}

// maxReply bounds what is read of an answer.
const maxReply = 64 << 20

// ask sends a request and reads the answer into out. in is nil for GET.
func (c *client) ask(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("the gateway's address: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("no gateway answers at %s: %w", c.base, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var p struct{ Detail string }
		if json.Unmarshal(b, &p) != nil || p.Detail == "" {
			p.Detail = res.Status
		}
		return errors.New(p.Detail)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the answer of %s: %w", c.base+path, err)
	}
	return nil
}
