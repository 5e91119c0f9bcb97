// Package admin answers one question: how does an operator or a monitoring system
// look into a running gateway? It serves health, Prometheus metrics and the
// JSON API over HTTP on a loopback address.
//
// It does not listen on anything but loopback: that needs TLS and a login, which
// this version does not have. It changes nothing by itself: its own resources are read
// only. It takes no part in calls and never holds one up: what it shows comes
// from functions of [Source] that are asked at the time of the request.
//
// A Server owns its listener, its connections and its metrics registry; there is
// no global one. Time comes from the clock given at construction. A function of
// Source that panics costs the request that asked, and nothing else. When
// the listener breaks, Serve returns the error.
//
// Start reading at [New].
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of the listener. Whoever can reach loopback is a user of this machine,
// which is no reason to let him exhaust the gateway.
const (
	maxConns      = 128
	maxHeader     = 16 << 10
	maxBody       = 64 << 10
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 60 * time.Second
)

// Options of a Server.
type Options struct {
	Listen        string // "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
	Source        Source
	Calls         Calls             // nil: no calls
	Registrations Registrations     // nil: no registrations
	Operations    []Operation       // what else may be asked or done
	Schemas       map[string][]byte // JSON Schemas by name: "rampart", "policy", "alert", …
	Version       string
	Now           func() time.Time // default time.Now
	Log           *slog.Logger     // default: silent
}

// Server is the admin listener.
type Server struct {
	o   Options
	reg *prometheus.Registry
	ln  net.Listener
	srv *http.Server
	doc []byte // OpenAPI
}

// ErrNotLoopback says that an address would be reachable from elsewhere.
var ErrNotLoopback = errors.New("the admin listener needs TLS and a login to listen on anything but loopback, which this version does not have; use 127.0.0.1 or [::1]")

// ParseListen checks an admin address: loopback and a port. It asks no
// resolver; localhost is 127.0.0.1.
func ParseListen(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("admin address %q: want host:port such as 127.0.0.1:8080", s)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ap, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	switch {
	case host == "":
		return netip.AddrPort{}, fmt.Errorf("admin address %q: %w", s, ErrNotLoopback)
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf("admin address %q: want an IP address and a port such as 127.0.0.1:8080", s)
	case !ap.Addr().Unmap().IsLoopback():
		return netip.AddrPort{}, fmt.Errorf("admin address %q: %w", s, ErrNotLoopback)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// New opens the listener. Nothing is answered before Serve.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	at, err := ParseListen(o.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, reg: newRegistry(o)}
	if s.doc, err = document(o.Operations); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("admin listener: %w", err)
	}
	s.ln = &capped{Listener: ln, room: make(chan struct{}, maxConns)}
	s.srv = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Addr is where the server listens, with the port that was chosen for port 0.
func (s *Server) Addr() netip.AddrPort {
	ap, _ := netip.ParseAddrPort(s.ln.Addr().String())
	return ap
}

// Serve answers until Close. It returns nil after Close, else why it had to stop.
func (s *Server) Serve() error {
	if err := s.srv.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin listener: %w", err)
	}
	return nil
}

// Close lets requests under way finish until ctx ends, then cuts them off.
func (s *Server) Close(ctx context.Context) error {
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("close admin listener: %w", err), s.srv.Close())
	}
	s.ln.Close() // when Serve was never called, Shutdown does not know it
	return err
}

// capped closes connections beyond its room at once: to wait would let
// idle ones shut everybody out.
type capped struct {
	net.Listener
	room chan struct{}
}

func (c *capped) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case c.room <- struct{}{}:
			return &counted{Conn: conn, room: c.room}, nil
		default:
			conn.Close()
		}
	}
}

type counted struct {
	net.Conn
	once sync.Once
	room chan struct{}
}

func (c *counted) Close() error {
	c.once.Do(func() { <-c.room })
	return c.Conn.Close()
}
