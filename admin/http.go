package admin

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// route is one resource. The table is also what the OpenAPI document is checked against.
type route struct {
	path  string
	serve http.HandlerFunc
}

func (s *Server) routes() []route {
	metrics := promhttp.HandlerFor(s.reg, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		Timeout:             readTimeout,
		ErrorHandling:       promhttp.ContinueOnError,
	})
	return []route{
		{"/healthz", s.healthz},
		{"/readyz", s.readyz},
		{"/metrics", metrics.ServeHTTP},
		{"/api/v1/calls", s.calls},
		{"/api/v1/registrations", s.registrations},
		{"/api/v1/peers", s.peers},
		{"/api/v1/openapi.json", s.openapi},
	}
}

// handler is everything a request passes: recover, headers, who may ask,
// method, resource.
func (s *Server) handler() http.Handler {
	table := map[string]http.HandlerFunc{}
	for _, r := range s.routes() {
		table[r.path] = r.serve
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.o.Log.Error("admin request failed", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				problem(w, http.StatusInternalServerError, "the gateway failed to answer; its log says why")
			}
		}()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !ourHost(r.Host) {
			problem(w, http.StatusMisdirectedRequest, "the Host header has to be localhost or a loopback address")
			return
		}
		if foreign(r) {
			problem(w, http.StatusForbidden, "requests of other web sites are not answered")
			return
		}
		serve, ok := table[r.URL.Path]
		if !ok {
			problem(w, http.StatusNotFound, "no such resource; /api/v1/openapi.json lists them")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			problem(w, http.StatusMethodNotAllowed, "this version only answers GET and HEAD")
			return
		}
		serve(w, r)
	})
}

// ourHost is the guard against DNS rebinding: a web page whose name suddenly
// points to 127.0.0.1 still sends its own name.
func ourHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// foreign reports a request that a browser made for another site. There are
// no CORS headers, so a script could not read the answer; this keeps it from
// making us work for it, too.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	o := r.Header.Get("Origin")
	if o == "" {
		return false
	}
	u, err := url.Parse(o)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

// problem answers with RFC 9457 problem details.
func problem(w http.ResponseWriter, status int, detail string) {
	b, _ := json.Marshal(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		problem(w, http.StatusInternalServerError, "the answer could not be encoded")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
