package admin

import (
	_ "embed"
	"net/http"
	"strconv"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Calls lists the calls that are up or being set up, oldest first.
type Calls interface{ List() []CallView }

// Registrations lists the registrations the PBX accepted.
type Registrations interface{ List() []RegistrationView }

// CallsFunc makes Calls of a function.
type CallsFunc func() []CallView

// List calls the function.
func (f CallsFunc) List() []CallView { return f() }

// RegistrationsFunc makes Registrations of a function.
type RegistrationsFunc func() []RegistrationView

// List calls the function.
func (f RegistrationsFunc) List() []RegistrationView { return f() }

// CallView is one live call.
type CallView struct {
	ID        string         `json:"id"`
	Direction call.Direction `json:"direction"`
	From      string         `json:"from"`
	To        string         `json:"to"`
	Account   string         `json:"account,omitempty"`
	User      string         `json:"user,omitempty"`
	Peer      string         `json:"peer,omitempty"`
	Source    string         `json:"source,omitempty"` // ip:port
	State     string         `json:"state"`
	Since     call.Time      `json:"since"`
	Answered  *call.Time     `json:"answered,omitempty"`
	Seconds   float64        `json:"seconds"` // since Since; filled in by the server
	Media     []string       `json:"media"`   // SRTP suite of each leg of each pass, "RTP" without
	Passes    int            `json:"passes"`
	CallIDs   []string       `json:"sip_call_ids,omitempty"` // of the legs of each pass
}

// RegistrationView is one binding of a user.
type RegistrationView struct {
	User      string    `json:"user"`
	Domain    string    `json:"domain,omitempty"`
	Account   string    `json:"account,omitempty"`
	Source    string    `json:"source,omitempty"` // ip:port of the flow
	Transport string    `json:"transport,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Connected bool      `json:"connected"` // the flow is up: the phone can be reached
	Expires   call.Time `json:"expires"`
}

// Check is one thing that has to be in order before calls can be taken.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

const (
	defaultLimit = 1000
	maxLimit     = 10_000
)

// page is a list and how many there are in all.
type page[T any] struct {
	Items []T `json:"items"`
	Total int `json:"total"`
}

// cut gives what offset and limit ask for.
func cut[T any](w http.ResponseWriter, r *http.Request, all []T) (page[T], bool) {
	num := func(name string, def, most int) (int, bool) {
		s := r.URL.Query().Get(name)
		if s == "" {
			return def, true
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > most {
			problem(w, http.StatusBadRequest, name+" has to be a number from 0 to "+strconv.Itoa(most))
			return 0, false
		}
		return n, true
	}
	p := page[T]{Items: []T{}, Total: len(all)}
	offset, ok := num("offset", 0, 1<<30)
	if !ok {
		return p, false
	}
	limit, ok := num("limit", defaultLimit, maxLimit)
	if !ok {
		return p, false
	}
	if offset < len(all) {
		p.Items = append(p.Items, all[offset:min(len(all), offset+limit)]...)
	}
	return p, true
}

func (s *Server) calls(w http.ResponseWriter, r *http.Request) {
	var all []CallView
	if s.o.Calls != nil {
		all = s.o.Calls.List()
	}
	p, ok := cut(w, r, all)
	if !ok {
		return
	}
	now := s.o.Now()
	for i := range p.Items {
		c := &p.Items[i]
		c.Seconds = max(now.Sub(c.Since.Time).Round(time.Millisecond).Seconds(), 0)
		if c.Media == nil {
			c.Media = []string{}
		}
	}
	answer(w, http.StatusOK, p)
}

func (s *Server) registrations(w http.ResponseWriter, r *http.Request) {
	var all []RegistrationView
	if s.o.Registrations != nil {
		all = s.o.Registrations.List()
	}
	if p, ok := cut(w, r, all); ok {
		answer(w, http.StatusOK, p)
	}
}

// healthz says that the process answers; a supervisor restarts it when it does not.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok", "version": s.o.Version})
}

// readyz says whether new calls should come here: 503 while a check fails.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	checks, status, word := []Check{}, http.StatusOK, "ready"
	if s.o.Source.Ready != nil {
		checks = append(checks, s.o.Source.Ready()...)
	}
	for _, c := range checks {
		if !c.OK {
			status, word = http.StatusServiceUnavailable, "not ready"
		}
	}
	answer(w, status, map[string]any{"status": word, "checks": checks})
}

//go:embed openapi.json
var openapiDoc []byte

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(s.doc)
}
