package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/explain"
	"github.com/rampart-sbc/rampart/fraud/geo"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/trial"
)

// policyExplainCmd judges one described request and tells how.
type policyExplainCmd struct {
	Files     []string  `arg:"" optional:"" name:"file" help:"Rule files, judged together. Default: those of the configuration." type:"path"`
	Config    string    `short:"c" help:"Configuration file: its packs, files, dialling plan, peers and GeoIP data. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." placeholder:"FILE"`
	Use       []string  `help:"Packs that the files are judged with, where there is no configuration." placeholder:"PACK"`
	Home      string    `help:"Home country, where neither a file nor a configuration has one." placeholder:"CC"`
	From      string    `required:"" help:"Who calls, as it would be spelt: 1001, +33123456789, tel:… or sip:…." placeholder:"A"`
	To        string    `required:"" help:"Who is called, as it would be dialled." placeholder:"B"`
	Peer      string    `help:"The carrier it comes from." placeholder:"NAME" xor:"sender"`
	PBX       string    `name:"pbx" help:"The PBX it comes from." placeholder:"NAME" xor:"sender"`
	Stranger  bool      `help:"It comes from somebody that nothing identifies." xor:"sender"`
	User      string    `help:"The user that is registered or that the PBX speaks for. Default: that of --from." placeholder:"USER"`
	Source    string    `help:"Address it comes from." placeholder:"IP"`
	Country   string    `help:"Country of that address, where no GeoIP data says it." placeholder:"CC"`
	ASN       uint      `name:"asn" help:"Network of that address, where no GeoIP data says it." placeholder:"NUMBER"`
	At        string    `help:"When. Default: now." placeholder:"TIME"`
	UserAgent string    `name:"user-agent" help:"User-Agent header." placeholder:"UA"`
	Method    string    `default:"INVITE" help:"Method of the request."`
	Transport string    `help:"udp, tcp, tls, ws or wss. Default: tls; udp from a PBX." enum:",udp,tcp,tls,ws,wss" default:""`
	Diverted  string    `help:"Who passed the call on." placeholder:"USER"`
	Header    []string  `help:"A header field, 'Name: value'; may be given more than once." sep:"none" placeholder:"'N: V'"`
	All       bool      `help:"Tell of every rule and limit that did not match, however many."`
	JSON      bool      `name:"json" help:"Print JSON."`
	now       time.Time // for tests
}

// Help is shown under the flags.
func (policyExplainCmd) Help() string {
	return "Judges the request with the code of the gateway, without a network, and tells every step: how the numbers were read, what is counted, " +
		"which entry of countries: decided, which rules were asked and what did not match. Counters begin at nothing. The exit code is 0 whatever the verdict.\n\n" +
		"Examples:\n  rampart policy explain --from 1001 --to 0018765550100 -c /etc/rampart/rampart.yaml\n" +
		"  rampart policy explain --from +442079460000 --to +33123456789 --peer carrier-a --at 2026-11-23T03:00:00+01:00\n" +
		"  rampart policy explain --from 1001 --to 0033612345678 --home FR --use countries policy/site.yaml"
}

// mostMisses is how many entries that did not match are told by default.
const mostMisses = 25

// Run judges and explains.
func (c *policyExplainCmd) Run(a *app) error {
	r, at, err := c.request()
	if err != nil {
		return err
	}
	set, o, err := c.load(a)
	if err != nil {
		return err
	}
	b, err := trial.New(o)
	if err != nil {
		return err
	}
	attempt, d, err := b.Judge(at, r)
	if err != nil {
		return usageError{err}
	}
	attempt.ID, attempt.SIPCallID, attempt.Pass = "", "", 0 // invented
	in := explain.Input{Fact: explain.Fact{Attempt: *attempt, Decision: d.Decision}, Set: set, Then: true, Tech: o.Tech, Most: mostMisses}
	if c.All {
		in.Most = 0
	}
	t := explain.Of(in)
	if len(set.Detectors()) > 0 && attempt.Method == "INVITE" {
		t.Notes = append(t.Notes, "Detectors of fraud have seen no call here, so they hold nothing against this one. What they hold in the gateway: rampart fraud list, rampart calls explain.")
	}
	if c.JSON {
		return printJSON(a, t)
	}
	return t.Text(a.stdout)
}

// load compiles the rules as `policy test` does; with nothing given, those of
// the configuration.
func (c *policyExplainCmd) load(a *app) (*policy.Set, trial.Options, error) {
	l := policyTestCmd{Files: c.Files, Config: c.Config, Use: c.Use, Home: c.Home}
	if c.Config == "" && len(c.Files)+len(c.Use) == 0 {
		l.Config, l.Home = a.configPath(""), ""
		if !exists(a, l.Config) {
			return nil, trial.Options{}, usageError{errors.New("which rules? Give rule files, --use PACK, or -c FILE")}
		}
	}
	set, o, ps, err := l.load(a)
	if err != nil {
		return nil, o, err
	}
	for _, p := range ps {
		if !c.JSON || !p.Warning {
			fmt.Fprintln(a.stderr, p)
		}
	}
	if set == nil {
		return nil, o, fmt.Errorf("%s in the rules", count(len(ps.Errors()), "error"))
	}
	if l.Config != "" {
		cfg, err := a.load(l.Config)
		if err != nil {
			return nil, o, err
		}
		if cfg.GeoIP.Country != "" || cfg.GeoIP.ASN != "" {
			db, err := geo.Open(cfg.GeoIP.Country, cfg.GeoIP.ASN)
			if err != nil {
				return nil, o, fmt.Errorf("geoip: %w", err)
			}
			o.Geo = db.Lookup
		}
	}
	return set, o, nil
}

// judged are the methods of requests that policies are asked about.
var judged = []string{"INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "OPTIONS", "REFER"}

// request is what the flags describe.
func (c *policyExplainCmd) request() (r trial.Request, at time.Time, err error) {
	r = trial.Request{Method: strings.ToUpper(c.Method), From: c.From, To: c.To, Peer: c.Peer, PBX: c.PBX, Stranger: c.Stranger, User: c.User,
		Country: strings.ToUpper(c.Country), ASN: c.ASN, Transport: c.Transport, UserAgent: c.UserAgent, Diverted: c.Diverted}
	if !slices.Contains(judged, r.Method) {
		hint := "one of " + strings.Join(judged, ", ")
		if best := strictyaml.Nearest(r.Method, judged); best != "" {
			hint = "did you mean " + best + "?"
		}
		return r, at, usageError{fmt.Errorf("--method: no request %q is judged: %s", c.Method, hint)}
	}
	if c.To == "" {
		return r, at, usageError{errors.New("--to: nobody is called; write the number as it would be dialled")}
	}
	if c.Source != "" {
		if r.Source, err = netip.ParseAddr(c.Source); err != nil {
			return r, at, usageError{fmt.Errorf("--source: %q is not an IP address", c.Source)}
		}
	}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return r, at, usageError{fmt.Errorf("--header: write it like 'X-Name: value', not %q", h)}
		}
		r.Headers = append(r.Headers, call.Header{Name: name, Value: strings.TrimSpace(value)})
	}
	if at = c.now; at.IsZero() {
		at = time.Now()
	}
	if c.At != "" {
		if at, err = parseTime(c.At, at); err != nil {
			return r, at, usageError{fmt.Errorf("--at: %w", err)}
		}
	}
	return r, at, nil
}

// parseTime reads a time as RFC 3339, or without zone, seconds or date on this
// computer's clock.
func parseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("15:04", text, now.Location()); err == nil {
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location()), nil
	}
	return now, fmt.Errorf("%q is not a time such as 2026-11-23T10:00:00+01:00 or 22:15", text)
}
