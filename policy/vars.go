package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/policy/when"
)

// Variable is a fact that conditions, `why:` and alerts call by its name.
type Variable struct {
	when.Var
	Doc     string // a sentence
	Example string // of a condition
}

// Family is variables that are named by an argument.
type Family struct {
	when.Family
	Doc, Example string
}

// Sizes of texts, in bytes. What is larger is an error of the evaluation.
const (
	maxWord   = 64
	maxUser   = 256
	maxAgent  = 512
	maxURI    = 1024
	maxHeader = 512
)

// variables is the table of all that a condition can name. The environment of
// conditions, the placeholders of `why:`, evidence and the reference page are
// made of it, so that none of them knows a name that the others do not.
func (c *compiler) variables() ([]Variable, []Family) {
	classes, regions := number.Classes(), number.Regions()
	text := func(name string, most int, doc, example string, get func(*when.Facts) string) Variable {
		return Variable{when.Var{Name: name, Kind: when.Text, Max: most, Get: func(f *when.Facts) when.Value { return when.Str(get(f)) }}, doc, example}
	}
	number := func(name, doc, example string, get func(*when.Facts) int) Variable {
		return Variable{when.Var{Name: name, Kind: when.Number, Get: func(f *when.Facts) when.Value { return when.Num(get(f)) }}, doc, example}
	}
	truth := func(name, doc, example string, get func(*when.Facts) bool) Variable {
		return Variable{when.Var{Name: name, Kind: when.Truth, Get: func(f *when.Facts) when.Value { return when.Bool(get(f)) }}, doc, example}
	}
	one := func(v Variable, words []string) Variable {
		v.Words = words
		return v
	}
	capitals := func(v Variable) Variable {
		v.Capitals = true
		return v
	}
	home := c.zone()
	vars := []Variable{
		{when.Var{Name: "source.ip", Kind: when.Text, Max: maxWord, Get: func(f *when.Facts) when.Value { return when.Addr(f.Source.Addr.Addr()) }},
			"The address that the request came from.", `source.ip.startsWith("192.0.2.")`},
		number("source.port", "The port that the request came from.", `source.port < 1024`, func(f *when.Facts) int { return int(f.Source.Addr.Port()) }),
		capitals(text("source.country", maxWord, "The country of the address, as an ISO code; empty without GeoIP data.", `source.country in ["KP", "RU"]`, func(f *when.Facts) string { return f.Source.Country })),
		number("source.asn", "The number of the network (AS) that the address belongs to; 0 without GeoIP data.", `source.asn == 64500`, func(f *when.Facts) int { return int(f.Source.ASN) }),
		one(text("source.transport", maxWord, "udp, tcp, tls, ws or wss.", `source.transport == "udp"`, func(f *when.Facts) string { return f.Source.Transport }), transports),
		text("source.tls.version", maxWord, "The version of TLS, such as 1.3; empty without TLS.", `source.tls.version == "1.2"`, func(f *when.Facts) string { return f.Source.TLSVersion }),
		text("source.tls.subject", maxUser, "The name in the client certificate that was verified; empty without one.", `source.tls.subject.endsWith(".carrier.example")`, func(f *when.Facts) string { return f.Source.TLSSubject }),
		truth("source.registered", "Whether a good registration came from this flow or address.", `!source.registered`, func(f *when.Facts) bool { return f.Source.Registered }),

		capitals(text("request.method", maxWord, "The method, in capitals.", `request.method == "INVITE"`, func(f *when.Facts) string { return f.Method })),
		text("request.user_agent", maxAgent, "What the sender calls itself (User-Agent); empty when it does not say.", `request.user_agent.matches("(?i)scanner|sipcli")`, func(f *when.Facts) string { return f.UserAgent }),
		text("request.uri", maxURI, "The Request-URI as it came.", `request.uri.contains("user=phone")`, func(f *when.Facts) string { return f.RequestURI }),
		number("request.size", "The size of the message in bytes.", `request.size > 8000`, func(f *when.Facts) int { return f.Size }),
		{when.Var{Name: "request.body.content_types", Kind: when.Texts, Get: func(f *when.Facts) when.Value { return when.Strs(f.ContentTypes) }},
			"The media types of the body and of its parts, in lower case, without parameters.", `"text/html" in request.body.content_types`},

		text("peer.name", maxUser, "The name of the peer or PBX in the configuration; empty for phones and strangers.", `peer.name == "carrier-a"`, func(f *when.Facts) string { return f.Peer }),
		one(text("peer.kind", maxWord, "phone, carrier, pbx or stranger.", `peer.kind == "stranger"`, func(f *when.Facts) string { return f.PeerKind.String() }), named(call.Stranger, call.PBX)),

		one(text("call.direction", maxWord, "inbound, outbound or internal; it belongs to the call, however often it passes.", `call.direction == "outbound"`, func(f *when.Facts) string { return f.Direction.String() }), named(call.Internal, call.Outbound)),
		text("call.user", maxUser, "The user who is responsible: of the registration a request comes with, or as the PBX asserts it.", `call.user in ["1001", "1002"]`, func(f *when.Facts) string { return f.User }),
		text("call.account", maxUser, "The name of the PBX that the request belongs to.", `call.account == "main"`, func(f *when.Facts) string { return f.Account }),
		truth("call.media.offered", "Whether the request carries a session description.", `!call.media.offered`, func(f *when.Facts) bool { return f.Media.Offered }),
		truth("call.media.srtp", "Whether every stream is offered as SRTP.", `call.media.srtp`, func(f *when.Facts) bool { return f.Media.SRTP }),
		text("call.media.profile", maxWord, "The profile of the first stream; empty without a session description.", `call.media.profile == "RTP/AVP"`, func(f *when.Facts) string { return f.Media.Profile }),
		truth("call.diverted", "Whether somebody passed the call on: a trusted Diversion or History-Info, or a redirect that the gateway follows.", `call.diverted`, func(f *when.Facts) bool { return f.Diversion != "" }),
		text("call.diversion", maxUser, "Who passed the call on; empty when nobody did.", `call.diversion == "1001"`, func(f *when.Facts) string { return f.Diversion }),
		truth("call.transferred", "Whether a transfer led to the call.", `call.transferred`, func(f *when.Facts) bool { return f.Transferred }),
		number("call.hops", "How many hops are left (Max-Forwards).", `call.hops < 10`, func(f *when.Facts) int { return f.Hops }),
		number("call.pass", "1 the first time a call passes the gateway, 2 when the PBX sends it out again.", `call.pass == 1`, func(f *when.Facts) int { return f.Pass }),
		number("call.seconds", "How long the call is up, for rules on calls in progress; 0 before the answer.", `call.seconds > 3600`, func(f *when.Facts) int { return int(f.Elapsed / time.Second) }),

		text("register.user", maxUser, "The user that a REGISTER is for.", `register.user == "admin"`, func(f *when.Facts) string { return f.RegisterUser }),
		text("register.auth_user", maxUser, "The user name in the credentials of a REGISTER or another request; empty without any.", `register.auth_user != "" && register.auth_user != register.user`, func(f *when.Facts) string { return f.AuthUser }),
		number("register.expires", "The seconds that a REGISTER asks for; 0 unregisters, -1 when it does not say.", `register.expires > 7200`, func(f *when.Facts) int { return f.Expires }),

		number("clock.hour", "The hour at home (the time zone of `home:`, else UTC), 0 to 23.", `clock.hour >= 22 || clock.hour < 6`, func(f *when.Facts) int { return f.At.In(home).Hour() }),
		number("clock.minute", "The minute at home, 0 to 59.", `clock.minute < 30`, func(f *when.Facts) int { return f.At.In(home).Minute() }),
		one(text("clock.weekday", maxWord, "The day of the week at home: mon, tue, wed, thu, fri, sat, sun.", `clock.weekday in ["sat", "sun"]`, func(f *when.Facts) string { return weekdays[f.At.In(home).Weekday()] }), weekdays),
		text("clock.time", maxWord, "The time at home, such as 08:30; texts of this form compare like times.", `clock.time >= "08:30" && clock.time < "17:00"`, func(f *when.Facts) string { return f.At.In(home).Format("15:04") }),
		text("clock.date", maxWord, "The date at home, such as 2026-12-24.", `clock.date == "2026-12-24"`, func(f *when.Facts) string { return f.At.In(home).Format(time.DateOnly) }),

		c.placesVar("countries.allow", false, "What `countries:` allows by name: ISO codes and prefixes. Ask it with a code or a public number; of prefixes the longest counts.", `call.to.country in countries.allow`),
		c.placesVar("countries.deny", true, "What `countries:` denies by name.", `call.from.e164 in countries.deny`),
	}
	for _, p := range []struct {
		name, who string
		of        func(*when.Facts) *call.Party
	}{
		{"call.from.", "the caller", func(f *when.Facts) *call.Party { return &f.From }},
		{"call.to.", "the callee", func(f *when.Facts) *call.Party { return &f.To }},
	} {
		of := p.of
		vars = append(vars,
			text(p.name+"user", maxUser, "The user part that names "+p.who+", as it came but for its escapes, which are undone. A number has many spellings: ask "+p.name+"number.", p.name+`user == "1001"`, func(f *when.Facts) string { return plainUser(of(f).User) }),
			text(p.name+"host", maxUser, "The host part that names "+p.who+", as it came.", p.name+`host.endsWith(".invalid")`, func(f *when.Facts) string { return of(f).Host }),
			text(p.name+"display", maxUser, "The display name of "+p.who+".", p.name+`display.contains("Bank")`, func(f *when.Facts) string { return of(f).Display }),
			text(p.name+"number", maxWord, "The number of "+p.who+" in its one form: + and digits, or the digits of an extension or emergency number; empty when it is none.", p.name+`number.size() == 4`, func(f *when.Facts) string { return of(f).Number }),
			text(p.name+"e164", maxWord, "The public number of "+p.who+" with its +; empty for others.", p.name+`e164.startsWith("+4420")`, func(f *when.Facts) string { return of(f).E164() }),
			one(text(p.name+"kind", maxWord, "extension, emergency, national, international or invalid.", p.name+`kind == "extension"`, func(f *when.Facts) string { return of(f).Kind.String() }), named(call.Invalid, call.International)),
			capitals(text(p.name+"country", maxWord, "The country that the number of "+p.who+" belongs to, as an ISO code.", p.name+`country == "JM"`, func(f *when.Facts) string { return of(f).Country })),
			one(text(p.name+"region", maxWord, "The region of that country by UN M.49, such as caribbean.", p.name+`region == "caribbean"`, func(f *when.Facts) string { return of(f).Region }), regions),
			one(text(p.name+"class", maxWord, "The class of the number: fixed, mobile, premium_rate, satellite, …", p.name+`class in ["premium_rate", "satellite"]`, func(f *when.Facts) string { return of(f).Class }), classes),
			truth(p.name+"international", "Whether the number is public and not of the home country.", p.name+`international`, func(f *when.Facts) bool { return of(f).Kind == call.International }),
			truth(p.name+"valid", "Whether it is a number at all: an extension, an emergency number or a public number.", `!`+p.name+`valid`, func(f *when.Facts) bool { return of(f).Kind != call.Invalid }),
		)
	}
	vars = append(vars, truth("call.from.own", "Whether somebody outside claims one of our own numbers.", `call.from.own`, func(f *when.Facts) bool { return f.From.Own }))
	return vars, []Family{c.headerFamily(), c.counterFamily(), zoneFamily(), c.listFamily()}
}

// plainUser undoes the percent escapes of a user part, once: to RFC 3261
// §19.1.4 both spellings are one user, so they are to conditions.
func plainUser(user string) string {
	if !strings.Contains(user, "%") {
		return user
	}
	out := make([]byte, 0, len(user))
	for i := 0; i < len(user); i++ {
		c := user[i]
		if c == '%' && i+2 < len(user) {
			if hi, lo := hexDigit(user[i+1]), hexDigit(user[i+2]); hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		out = append(out, c)
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

// places is `countries:` as something a code or number can be in.
func (c *compiler) placesVar(name string, denied bool, doc, example string) Variable {
	v := when.In(listedPlaces{&c.set.places, denied})
	return Variable{when.Var{Name: name, Kind: when.Members, Get: func(*when.Facts) when.Value { return v }}, doc, example}
}

type listedPlaces struct {
	places *places
	denied bool
}

// Has implements when.Set.
func (n listedPlaces) Has(text string) bool {
	if strings.HasPrefix(text, "+") {
		length, denied := n.places.prefix.longest(text)
		return length > 0 && denied == n.denied
	}
	denied, listed := n.places.country[text]
	return listed && denied == n.denied
}

// headerFamily is request.headers["name"].
func (c *compiler) headerFamily() Family {
	return Family{Doc: "The value of a header field; empty when there is none. Several of one name are one value, with commas. Compact names are the same as long ones. Credentials cannot be read.",
		Example: `request.headers["x-tenant"] == "blue"`,
		Family: when.Family{Name: "request.headers", What: "header", Make: func(name, _ string) (when.Var, error) {
			key, err := headerName(name)
			if err != nil {
				return when.Var{}, err
			}
			c.lang.headers[key] = true
			return when.Var{Kind: when.Text, Max: maxHeader, Get: func(f *when.Facts) when.Value { return when.Str(header(f.Attempt, key)) }}, nil
		}}}
}

// compact header names: RFC 3261 §7.3.3 and the registry since.
var compact = map[string]string{
	"a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition", "e": "content-encoding", "f": "from",
	"i": "call-id", "j": "reject-contact", "k": "supported", "l": "content-length", "m": "contact", "n": "identity-info", "o": "event",
	"r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}

// credentials are headers that no policy reads: their values would come to
// stand in alerts.
var credentials = []string{"authorization", "proxy-authorization"}

func headerName(name string) (string, error) {
	key := strings.ToLower(name)
	if long := compact[key]; long != "" {
		key = long
	}
	switch {
	case key == "" || len(key) > maxWord || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~") != "":
		return "", fmt.Errorf("%q is not the name of a header", name)
	case slices.Contains(credentials, key):
		return "", fmt.Errorf("%s holds credentials, which no policy reads", name)
	}
	return key, nil
}

// header joins the values of one name, RFC 3261 §7.3.1.
func header(a *call.Attempt, key string) string {
	out, found := "", false
	for _, h := range a.Headers {
		if !strings.EqualFold(h.Name, key) {
			continue
		}
		if len(out) > maxHeader {
			break // too long already, which is an error
		}
		if found {
			out += ", " + h.Value
		} else {
			out, found = h.Value, true
		}
	}
	return out
}

// peerLimits are those that peers have in the configuration.
var peerLimits = []string{"limits/peer-calls", "limits/peer-cps"}

// counterFamily is counters["limits/id"].
func (c *compiler) counterFamily() Family {
	known := func() (out []string) {
		for _, e := range c.order {
			if e.limit != nil && e.id != "" && !e.limit.Mode.off {
				out = append(out, e.id)
			}
		}
		return append(out, peerLimits...)
	}
	return Family{Doc: "How far a limit is used for the key of this request, without this request: calls in progress, failures within the time, or requests of the burst that are used up. `limits/peer-calls` and `limits/peer-cps` are those of the peer in the configuration; 0 where it has none.",
		Example: `counters["limits/calls-per-user"] >= 2`,
		Family: when.Family{Name: "counters", What: "limit", Make: func(id, _ string) (when.Var, error) {
			if !slices.Contains(known(), id) {
				return when.Var{}, when.Unknown{What: "limit", Name: id, Known: known()}
			}
			return when.Var{Kind: when.Number, Get: func(f *when.Facts) when.Value {
				if f.Counters != nil {
					n, ok := f.Counters.Counter(id, f.Attempt)
					if ok || slices.Contains(peerLimits, id) { // most peers have none
						return when.Num(n)
					}
				}
				return when.Fail(fmt.Errorf("nobody counts here"))
			}}, nil
		}}}
}

// zoneFamily is clock.zone("Europe/Paris").hour.
func zoneFamily() Family {
	fields := map[string]func(time.Time) when.Value{
		"hour":    func(t time.Time) when.Value { return when.Num(t.Hour()) },
		"minute":  func(t time.Time) when.Value { return when.Num(t.Minute()) },
		"weekday": func(t time.Time) when.Value { return when.Str(weekdays[t.Weekday()]) },
		"time":    func(t time.Time) when.Value { return when.Str(t.Format("15:04")) },
		"date":    func(t time.Time) when.Value { return when.Str(t.Format(time.DateOnly)) },
	}
	return Family{Doc: "The clock of a time zone, with the fields hour, minute, weekday, time and date.",
		Example: `clock.zone("Europe/Paris").hour >= 22`,
		Family: when.Family{Name: "clock.zone", Call: true, Fields: []string{"hour", "minute", "weekday", "time", "date"}, What: "time zone",
			Make: func(name, field string) (when.Var, error) {
				loc, err := zone(name)
				if err != nil {
					return when.Var{}, err
				}
				get := fields[field]
				v := when.Var{Kind: when.Text, Max: maxWord, Get: func(f *when.Facts) when.Value { return get(f.At.In(loc)) }}
				switch field {
				case "hour", "minute":
					v.Kind = when.Number
				case "weekday":
					v.Words = weekdays
				}
				return v, nil
			}}}
}

// listFamily is lists.name.
func (c *compiler) listFamily() Family {
	return Family{Doc: "A list of `lists:`. Numbers, prefixes, networks and expressions in it match what they stand for.",
		Example: `call.from.user in lists.night_shift`,
		Family: when.Family{Name: "lists", Dotted: true, What: "list", Make: func(name, _ string) (when.Var, error) {
			n := c.named[name]
			if n == nil || n.list == nil {
				return when.Var{}, when.Unknown{What: "list", Name: name, Known: slices.Sorted(maps.Keys(c.named))}
			}
			n.used = true
			i := slices.Index(c.set.lists, n.list)
			v := when.Var{Kind: when.Members, Get: func(f *when.Facts) when.Value {
				if f.Lists == nil {
					return when.Fail(fmt.Errorf("there are no lists here"))
				}
				return when.In(f.Lists.List(i))
			}}
			if n.list.public() {
				v.Never = map[string]string{"call.from.user": "call.from.number", "call.to.user": "call.to.number"}
			}
			if n.list.kind == Regexes {
				v.Cost = 10 * n.list.size // each is tried
			}
			return v, nil
		}}}
}
