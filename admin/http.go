package admin

import (
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rampart-sbc/rampart/internal/plain"
)

// route is one operation on a resource. The table is also what the OpenAPI
// document is checked against.
type route struct {
	method string // GET answers HEAD too
	path   string // as in OpenAPI and net/http: "/api/v1/calls/{id}"
	serve  http.HandlerFunc
}

// changes reports an operation that is more than a question.
func (r route) changes() bool { return r.method != http.MethodGet }

func (s *Server) routes() []route {
	metrics := promhttp.HandlerFor(s.reg, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		Timeout:             readTimeout,
		ErrorHandling:       promhttp.ContinueOnError,
	})
	return append([]route{
		{"GET", "/healthz", s.healthz},
		{"GET", "/readyz", s.readyz},
		{"GET", "/metrics", metrics.ServeHTTP},
		{"GET", "/api/v1/calls", s.calls},
		{"GET", "/api/v1/registrations", s.registrations},
		{"GET", "/api/v1/peers", s.peers},
		{"GET", "/api/v1/schema/{name}", s.schema},
		{"GET", "/api/v1/openapi.json", s.openapi},
	}, s.operations()...)
}

// handler is everything a request passes: recover, headers, who may ask,
// method, resource.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, r.serve)
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
		serve, pattern := mux.Handler(r)
		if path.Clean(r.URL.Path) != r.URL.Path { // the mux would redirect
			problem(w, http.StatusNotFound, "no such resource; /api/v1/openapi.json lists them")
			return
		}
		if pattern == "" {
			// The mux itself answers 404 or 405, in plain text.
			silent := &headersOnly{h: http.Header{}}
			serve.ServeHTTP(silent, r)
			if silent.status == http.StatusMethodNotAllowed {
				h.Set("Allow", silent.h.Get("Allow"))
				problem(w, silent.status, "this resource is not for "+r.Method)
				return
			}
			problem(w, http.StatusNotFound, "no such resource; /api/v1/openapi.json lists them")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !deliberate(r) {
			problem(w, http.StatusUnsupportedMediaType, "a request that changes something has Content-Type: application/json")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// headersOnly takes what a handler says and keeps no text.
type headersOnly struct {
	h      http.Header
	status int
}

func (x *headersOnly) Header() http.Header         { return x.h }
func (x *headersOnly) WriteHeader(status int)      { x.status = status }
func (x *headersOnly) Write(b []byte) (int, error) { return len(b), nil }

// deliberate reports a request that no page of another site can make without
// being allowed to: a form cannot send this type, and a script would have to
// ask first (Fetch standard, CORS-preflight), which nobody here answers.
func deliberate(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
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
	w.Write(append(plain.JSON(b), '\n'))
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
	w.Write(append(plain.JSON(b), '\n')) // somebody may look at it on a terminal
}
