package fraud

import (
	"fmt"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// A story is what several incidents tell together: a password is guessed, its
// user registers from another country, the calls begin. Incidents of the last
// three days are related when they are about the same user, the same block of
// numbers, or an address that attacked.
//
// What limits find (guessed passwords, users that are tried) can be caused by
// anybody, so it has tables of its own that push out nothing else.
type story struct {
	links     *table[storyKey, chain] // of detectors' findings
	attackers *table[storyKey, chain] // of limits' findings
	limits    *table[topic, incident] // the incidents of limits
	good      *table[string, int64]   // addresses that users registered from: when last
}

const (
	keepStory   = 3 * day
	maxChain    = 6
	maxRelated  = 8
	maxOfLimits = 8192 // attackers, and incidents of limits
)

type storyKey struct{ Kind, Account, Value string }

// chain are the latest incidents about one thing, the last one first.
type chain struct {
	IDs   [maxChain]string
	At    [maxChain]int64
	Known bool // users registered from this address before it was told of
}

func newStory(c *Config) *story {
	return &story{
		links:     newTable[storyKey, chain](c.MaxKeys, keepStory, nil),
		attackers: newTable[storyKey, chain](maxOfLimits, keepStory, nil),
		limits:    newTable[topic, incident](maxOfLimits, covers(2*day, c.Incident), nil),
		good:      newTable[string, int64](c.MaxKeys, 30*day, nil),
	}
}

func (c *chain) add(id string, now int64) {
	i := slices.Index(c.IDs[:], id)
	if i < 0 {
		i = maxChain - 1
	}
	copy(c.IDs[1:i+1], c.IDs[:i])
	copy(c.At[1:i+1], c.At[:i])
	c.IDs[0], c.At[0] = id, now
}

// related are the incidents that share a key with the one of that id, behind
// those that its detector knows of.
func (s *story) related(id string, f *Finding, keys []storyKey, now int64) []string {
	out := slices.Clone(f.Related)
	add := func(c *chain) {
		if c == nil {
			return
		}
		for i, other := range c.IDs {
			if other != "" && other != id && now-c.At[i] < keepStory && len(out) < maxRelated && !slices.Contains(out, other) {
				out = append(out, other)
			}
		}
	}
	for _, k := range keys {
		add(s.links.peek(k, now))
		k.Account = "" // who guesses has no account
		add(s.attackers.peek(k, now))
	}
	if c := s.attackers.peek(storyKey{"source", "", f.Source}, now); c != nil && !c.Known {
		add(c)
	}
	return out
}

// storyKeys are what others may be about, too.
func (e *Engine) storyKeys(f *Finding, c *running) (keys []storyKey) {
	add := func(kind, account, value string) {
		if value != "" {
			keys = append(keys, storyKey{kind, account, value})
		}
	}
	s := f.Subject
	switch s.Kind {
	case "user":
		add("user", f.Account, s.Value)
	case "from", "to":
		add("block", "", block(s.Value, 3))
	case "from_prefix", "to_prefix":
		add("block", "", s.Value)
	case "source":
		add("source", "", s.Value)
	case "account":
		add("account", "", s.Value)
	}
	if c != nil && c.outbound { // who called, and where to; of calls from outside only the caller counts
		if s.Kind != "user" || s.Value != c.user {
			add("user", c.account, c.user)
		}
		if s.Kind != "to" && s.Kind != "to_prefix" && c.far.Class != Home {
			add("block", "", block(c.to, 3))
		}
	}
	return keys
}

// limitFound takes over what a limit found.
func (e *Engine) limitFound(ev *call.Event) {
	if ev.Subject == nil || ev.Action == "" {
		return
	}
	n := max(ev.Count, 1)
	f := Finding{Detector: ev.Rule, Action: ev.Action, Severity: call.Medium, Subject: *ev.Subject, Account: ev.Account, User: ev.User, Source: ev.Source, Evidence: ev.Evidence}
	in := e.story.limits.get(topic{f.Detector, "", f.Subject}, e.now)
	told := e.counts(in, &f, n)
	var keys []storyKey
	if f.Subject.Kind == "user" || f.Action == call.RegistrationBruteforce && f.User != "" {
		keys = append(keys, storyKey{"user", "", f.User})
	}
	if ev.Source != "" {
		k := storyKey{"source", "", ev.Source}
		keys = append(keys, k)
		if a := e.story.attackers.peek(k, e.now); a == nil {
			e.story.attackers.get(k, e.now).Known = e.story.good.peek(ev.Source, e.now) != nil
		}
	}
	if !told {
		return
	}
	f.Reason = fmt.Sprintf("%s: %d requests since %s", ev.Rule, in.Count, time.Unix(0, in.First).UTC().Format(time.RFC3339))
	e.give(in, f, e.story.attackers, keys)
}

// registered takes a registration that was accepted. One from an address that
// was guessing, and that nobody registered from before, is what the guessing
// was for: what its user does from now on belongs to that story.
func (e *Engine) registered(ev *call.Event) {
	if ev.Code != 200 || ev.User == "" || ev.Source == "" {
		return
	}
	a := e.story.attackers.peek(storyKey{"source", "", ev.Source}, e.now)
	if a == nil || a.Known {
		*e.story.good.get(ev.Source, e.now) = e.now
		return
	}
	ids := slices.DeleteFunc(slices.Clone(a.IDs[:]), func(id string) bool { return id == "" })
	e.tell(Finding{Detector: IDGuessed, Action: call.RegistrationBruteforce, Severity: call.High, Subject: call.Subject{Kind: "user", Value: ev.User},
		Account: ev.Account, User: ev.User, Source: ev.Source, Related: ids,
		Reason: fmt.Sprintf("registered from %s, which was guessing passwords or users and from where nobody had registered", ev.Source)}, nil)
}
