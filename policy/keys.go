package policy

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Key is one key of a policy file.
type Key struct {
	Section string // "rules", "match", … as the reference page groups them
	Name    string // within the section
	Doc     string
	Words   []string // what it may be, where that is a closed set
}

// keys is the language: the JSON Schema and the reference page are made of it.
// What limits, rules and exceptions share stands in sections of its own.
var keys = []Key{
	{"file", "version", "Always 1.", nil},
	{"file", "home", "How people around the gateway dial. With a configuration its `home:` counts and this one is only checked.", nil},
	{"file", "countries", "Where calls may go, by the canonical number.", nil},
	{"file", "lists", "Values by name, for `list:` in match and for conditions.", nil},
	{"file", "rules", "In order: the first that matches and decides ends the file's search.", nil},
	{"file", "limits", "What is counted.", nil},
	{"file", "exceptions", "What opens one rule, limit or part of `countries:` for some; the only way to open what a pack refuses.", nil},
	{"file", "detectors", "What the detectors of fraud look for and do, by id, see [detectors](detectors.md). What an entry does not say stays as the pack and the profile have it; `mode: off` switches one off.", nil},
	{"file", "tests", "Requests with what they must come to. They run before the policy comes in force.", nil},

	{"home", "country", "ISO code of the country.", nil},
	{"home", "international", "Prefixes before a country code.", nil},
	{"home", "national", "Trunk prefix before a national number.", nil},
	{"home", "extensions", "Regular expression of an extension.", nil},
	{"home", "emergency", "Emergency numbers.", nil},
	{"home", "outside_prefix", "What phones dial for an outside line.", nil},
	{"home", "timezone", "IANA name: what `hours:` mean by `home`.", nil},
	{"home", "carrier_selection", "Prefixes that choose a carrier; `x` is any digit.", nil},
	{"home", "tech_prefixes", "Prefixes between PBX and carrier that are no part of the number.", nil},

	{"countries", "default", "What is said of a country that is not listed. Home is allowed.", nil},
	{"countries", "allow", "ISO codes, or prefixes in quotes; the longest prefix wins.", nil},
	{"countries", "deny", "The same, denied.", nil},
	{"countries", "classes", "`allow` or `deny` by class of number. `allow:` of a place opens no class.", nil},
	{"countries", "short", "Short numbers of your carriers that are in no numbering plan, as the PBX sends them.", nil},

	{"lists", "values", "The values. A list may also stand there by itself, without this key.", nil},
	{"lists", "file", "A file with one value a line, relative to this file. It is read again when it changes.", nil},
	{"lists", "kind", "What the values are; without it they tell.", listKinds},
	{"lists", "without_plus", "Prefixes and numbers in the file begin with the country code and have no +.", nil},

	{"rules", "key", "What a ban or hold is about, if not the usual.", keyNames},

	{"entry", "id", "`file-or-pack/kebab-name`: in answers, alerts, CDRs and metrics; stable for ever. The id of a pack's entry replaces that entry.", nil},
	{"entry", "on", "Which requests.", slices.Sorted(maps.Keys(methodNames))},
	{"entry", "match", "What has to hold; every key that is given.", nil},
	{"entry", "when", "A condition in CEL, asked where match holds.", nil},
	{"entry", "then", "What is done: `allow`, `reject CODE`, `drop`, `challenge`, `ban [DURATION]`, `hangup`, `hold DURATION`, `flag`.", nil},
	{"entry", "mode", "`shadow` decides and tells, and carries nothing out; `off` switches off, also a pack's entry of that id.", nil},
	{"entry", "severity", "Of the alert; medium where it is left out.", nil},
	{"entry", "action", "`event.action` of the alert, where the usual one does not fit.", slices.Sorted(maps.Keys(actions))},
	{"entry", "why", "The reason in the alert; rules may name variables in braces.", nil},
	{"entry", "description", "What it is for, for who reads the policy.", nil},
	{"entry", "owner", "Who answers for it.", nil},
	{"entry", "ticket", "Where it was asked for.", nil},
	{"entry", "expires", "A date or time after which it does not count.", nil},

	{"limits", "key", "Per what is counted; several make a tuple, none counts all together. `{cel: \"call.to.number.substring(0, 6)\"}` is an expression.", keyNames},
	{"limits", "key.cel", "An expression in CEL, of the variables of conditions, that is a text, a number, or true or false. An empty text is not counted.", nil},
	{"limits", "rate", "Requests in a time: `5/s`, `20/m`, `100/h`.", nil},
	{"limits", "burst", "Requests at once, with `rate`.", nil},
	{"limits", "concurrent", "Calls at a time.", nil},
	{"limits", "failures", "Failed attempts, with `over` or `leak`; with `distinct`, over so many different values.", nil},
	{"limits", "leak", "Instead of `over`: how many failures are forgotten in a time, `6/h`.", nil},
	{"limits", "distinct", "Different values, with `of` and `over`.", nil},
	{"limits", "unanswered", "With `distinct`: only requests whose challenge nobody answers are counted: after five seconds, or at once on a connection that has let ten go by.", nil},
	{"limits", "of", "What has to be different.", distinctNames},
	{"limits", "over", "The time in which failures or different values are counted.", nil},

	{"exceptions", "rule", "Id of the rule or limit that is opened, or `countries/denied`, `countries/class-denied`, `countries/invalid-number`.", nil},

	{"match", "direction", "Of the call.", named(call.Internal, call.Outbound)},
	{"match", "to", "The number that is called.", nil},
	{"match", "from", "The number that calls.", nil},
	{"match", "source", "Where the request came from.", nil},
	{"match", "peer", "Names of peers or PBXs.", nil},
	{"match", "peer_kind", "What identification made of the sender.", named(call.Stranger, call.PBX)},
	{"match", "stranger", "Nothing identifies the sender, and nobody is registered from there.", nil},
	{"match", "registered", "A good registration came from there.", nil},
	{"match", "diverted", "Somebody passed the call on.", nil},
	{"match", "transferred", "A transfer led to the call.", nil},
	{"match", "user", "Users, or `{list: NAME}`.", nil},
	{"match", "user_agent", "Regular expressions without regard to case, or `{list: NAME}`.", nil},
	{"match", "user.list", "Names of lists of users.", nil},
	{"match", "user_agent.list", "Names of lists of regular expressions.", nil},
	{"match", "transport", "How the request came.", transports},
	{"match", "hours", "Times of the week: `22:00-06:00 Europe/Paris`, `Mon-Fri 08:00-18:00 home`, `Sat,Sun home`.", nil},
	{"match", "size", "Bytes of the message: `\">4KiB\"`.", nil},
	{"match", "content_type", "Media types of the body and its parts; `application/*` is all of a kind.", nil},

	{"party", "country", "ISO codes.", nil},
	{"party", "region", "Sub-regions of the world by UN M.49, such as `caribbean`.", nil},
	{"party", "class", "Classes of numbers.", number.Classes()},
	{"party", "prefix", "Prefixes in quotes, such as `\"+4420\"`.", nil},
	{"party", "list", "Names of lists of numbers, prefixes or countries.", nil},
	{"party", "international", "A public number of another country.", nil},
	{"party", "valid", "It resolves to a number.", nil},
	{"party", "own", "From outside, with one of our own numbers (`home.numbers`).", nil},
	{"party", "withheld", "The caller withholds the number.", nil},
	{"party", "kind", "What the number resolved to.", named(call.Invalid, call.International)},

	{"source", "cidr", "Networks.", nil},
	{"source", "country", "ISO codes by GeoIP.", nil},
	{"source", "asn", "Numbers of networks (AS) by GeoIP.", nil},
	{"source", "list", "Names of lists of networks or countries.", nil},

	{"tests", "name", "What it shows.", nil},
	{"tests", "at", "When it begins; the first of a fixed week where it is left out. In `events`: after the begin.", nil},
	{"tests", "own_numbers", "Our own numbers, as in `home.numbers`.", nil},
	{"tests", "events", "A sequence instead of one request.", nil},
	{"tests", "expect", "A verdict, a mapping, or a list with one for each request.", nil},
	{"tests", "every", "Time between repetitions.", nil},
	{"tests", "times", "Repetitions.", nil},
	{"tests", "code", "The answer that the request gets in the end; without it a call is answered.", nil},
	{"tests", "ring", "The call rings for so long, then it gets its answer. Default: 6s, half of `hangup` where that is less, and nothing with a `code` that refuses.", nil},
	{"tests", "hangup", "The call ends so long after its begin.", nil},
	{"tests", "ended_by", "Who ends it, or hangs up while it rings. Default: the caller; with a `code` other than 487 the callee.", []string{"callee", "caller"}},
	{"tests", "invite", "A call.", nil}, {"tests", "register", "A registration.", nil}, {"tests", "message", "A text message.", nil},
	{"tests", "options", "A keep-alive.", nil}, {"tests", "subscribe", "A subscription.", nil}, {"tests", "publish", "A publication.", nil},
	{"tests", "refer", "A transfer.", nil},
	{"tests", "connect", "A connection, for rules `on: connect`.", nil},
	{"tests", "progress", "The call that `call` names is looked at again, for rules `on: progress`.", nil},

	{"request", "from", "Who calls: the user of a registered phone, or the number that a peer shows.", nil},
	{"request", "to", "What is dialled.", nil},
	{"request", "display", "Display name of the caller.", nil},
	{"request", "peer", "It comes from this peer.", nil},
	{"request", "pbx", "It comes from this PBX.", nil},
	{"request", "stranger", "Nothing identifies the sender.", nil},
	{"request", "registered", "A good registration came from its address.", nil},
	{"request", "user", "The authenticated user, if not `from`.", nil},
	{"request", "account", "Name of the PBX it belongs to.", nil},
	{"request", "source", "Address, or a mapping with what is known of it.", nil},
	{"request", "ip", "Address.", nil}, {"request", "net", "A network: each request has the next of its addresses.", nil}, {"request", "port", "Port.", nil},
	{"request", "country", "Country of the address.", nil}, {"request", "asn", "Network of the address.", nil},
	{"request", "transport", "How it came.", transports},
	{"request", "tls_version", "Version of TLS, such as \"1.3\".", nil},
	{"request", "tls_subject", "Name in the client certificate.", nil},
	{"request", "user_agent", "User-Agent.", nil},
	{"request", "headers", "Header fields that conditions read.", nil},
	{"request", "size", "Bytes.", nil}, {"request", "hops", "Max-Forwards.", nil},
	{"request", "content_types", "Media types of the body and its parts.", nil},
	{"request", "profile", "Transport profile of the offer, such as RTP/SAVP.", nil},
	{"request", "srtp", "Whether the media is offered as SRTP.", nil},
	{"request", "diverted", "Who passed the call on.", nil},
	{"request", "transferred", "A transfer led to it.", nil},
	{"request", "auth_user", "User of the credentials.", nil},
	{"request", "expires", "Seconds that a registration asks for.", nil},
	{"request", "route", "The peer that it is sent to.", nil},
	{"request", "call", "Passes with one name are one call.", nil},

	{"expect", "verdict", "What comes of it.", slices.Sorted(maps.Keys(verdictWords))},
	{"expect", "status", "The SIP code of a reject.", nil},
	{"expect", "rule", "The rule that decided.", nil},
	{"expect", "asked", "Rules that matched, whether they decided or not.", nil},
	{"expect", "not_rule", "Rules that did not match.", nil},
	{"expect", "excepted", "Rules that an entry of `exceptions` opened.", nil},
	{"expect", "alerts", "Exactly these alerts, by event.action; `[]` for none.", nil},
	{"expect", "not_alert", "Not these alerts.", nil},
	{"expect", "flags", "Exactly these rules only told.", nil},
	{"expect", "shadow", "Exactly these rules in shadow mode matched.", nil},
	{"expect", "effects", "Exactly these effects: ban, hold, hangup; `[]` for none.", nil},
	{"expect", "findings", "Exactly these detectors find something by this request, or by what becomes of its call, see [detectors](detectors.md); `[]` for none.", nil},
	{"expect", "times", "How many requests in a row it is for.", nil},
}

// Keys lists the keys of policy files in the order of the reference page.
func Keys() []Key { return slices.Clone(keys) }

var (
	sectionsOfEntry = regexp.MustCompile(`^(rules|limits|exceptions)\[\]\.`)
	sectionOfMatch  = regexp.MustCompile(`^match\.(to|from)\.`)
	sectionOfTest   = regexp.MustCompile(`^tests\[\]\.(events\[\]\.)?`)
	requestOfTest   = regexp.MustCompile(`^(invite|register|message|options|subscribe|publish|refer|connect|progress)\.(source\.)?`)
)

// keyAt finds a key by its path in a file, as strictyaml.Notes has it.
func keyAt(path string) (Key, bool) {
	path = strings.TrimSuffix(path, "[]")
	sections := []string{"file"}
	switch {
	case sectionsOfEntry.MatchString(path):
		list, rest, _ := strings.Cut(path, "[].")
		path = strings.Replace(rest, "[]", "", 1)
		sections = []string{list, "entry"}
		if rest, ok := strings.CutPrefix(path, "match."); ok {
			switch {
			case sectionOfMatch.MatchString(path):
				_, path, _ = strings.Cut(rest, ".")
				sections = []string{"party"}
			case strings.HasPrefix(rest, "source."):
				path, sections = strings.TrimPrefix(rest, "source."), []string{"source"}
			default:
				path, sections = rest, []string{"match"}
			}
		}
	case sectionOfTest.MatchString(path):
		path, sections = sectionOfTest.ReplaceAllString(path, ""), []string{"tests"}
		if m := requestOfTest.FindString(path); m != "" {
			path, sections = path[len(m):], []string{"request"}
		} else if rest, ok := strings.CutPrefix(path, "expect"); ok && rest != "" {
			path, sections = strings.TrimPrefix(strings.TrimPrefix(rest, "[]"), "."), []string{"expect"}
		}
	case strings.HasPrefix(path, "lists.*."):
		path, sections = strings.TrimPrefix(path, "lists.*."), []string{"lists"}
	case strings.HasPrefix(path, "home."), strings.HasPrefix(path, "countries."):
		section, rest, _ := strings.Cut(path, ".")
		path, sections = rest, []string{section}
	}
	for _, s := range sections {
		for _, k := range keys {
			if k.Section == s && k.Name == path {
				return k, true
			}
		}
	}
	return Key{}, false
}
