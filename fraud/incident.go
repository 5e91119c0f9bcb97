package fraud

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// topic is what an incident is about.
type topic struct {
	Detector string
	Account  string
	Subject  call.Subject
}

// topic of a finding.
func (f *Finding) topic() topic {
	if f.about.Kind != "" {
		return topic{f.Detector, f.Account, f.about}
	}
	return topic{f.Detector, f.Account, f.Subject}
}

// An incident is everything that one detector finds about one subject until
// nothing more was found for a while.
//
//	(none) --finding--> told --findings--> counted --a minute, 4, 16, … Config.Update--> told again
//	       --Config.Incident without a finding, and none of its calls up--> the next one begins another incident
type incident struct {
	ID      string
	First   int64
	Last    int64 // of the last finding
	Told    int64 // of the last one that was told
	Count   int   // of findings
	Tells   int
	Grave   call.Severity // of its gravest finding
	Numbers []string
	Calls   []string
	Missed  []Missed // since it was told last
	Bill    bill
	Topic   topic

	// Of the last finding.
	Action             call.Action
	Subject            call.Subject
	User, Peer, Reason string
}

const (
	firstUpdate = time.Minute
	maxMissed   = 50 // that one finding names
)

// tell adds a finding about a call, or about none. The first about a subject
// begins an incident; of those that follow, some are told, with their number. A
// finding that wants something done is given out in any case. It returns the
// incident's id.
func (e *Engine) tell(f Finding, c *running) string {
	if e.cfg.Rules[f.Detector].Off {
		return ""
	}
	if c != nil {
		f.Account, f.Peer, f.Source, f.CallID = c.account, c.peer, c.source, c.id
		f.From, f.To, f.User = c.from, c.to, cmp.Or(f.User, c.user)
	}
	in := e.open.get(f.topic(), e.now)
	told := e.counts(in, &f, 1)
	in.names(&f, c)
	in.Action, in.Subject, in.User, in.Peer, in.Reason = f.Action, f.Subject, f.User, f.Peer, f.Reason
	e.ledger.owes(e, in, c)
	e.stand(&f, c, in.ID)
	if f.Do == nil {
		f.Do = e.acts(&f, c)
	}
	if !told && len(f.Do) == 0 {
		return in.ID
	}
	f.Quiet = !told
	e.give(in, f, e.story.links, e.storyKeys(&f, c))
	return in.ID
}

// counts takes n more findings into an incident, or begins a new one, and
// reports whether it is to be told now.
func (e *Engine) counts(in *incident, f *Finding, n int) bool {
	if in.Count > 0 && e.now-in.Last >= int64(e.cfg.Incident) && len(in.Bill.Up) == 0 {
		e.ledger.forget(in)
		*in = incident{}
	}
	if in.ID == "" {
		in.ID, in.First, in.Topic = incidentID(f, e.now), e.now, f.topic()
	}
	in.Count += n
	in.Last = e.now
	rests := in.rests(f.Severity, e.now, e.cfg.Update)
	in.Grave = max(in.Grave, f.Severity)
	if rests {
		return false
	}
	in.Told = e.now
	in.Tells++
	return true
}

// rests reports whether a finding would only be counted now: one that is not
// graver than those before, so soon after the last that was told.
func (in *incident) rests(s call.Severity, now int64, update time.Duration) bool {
	return in.Tells > 0 && s <= in.Grave && now-in.Told < in.wait(update)
}

// wait between the last time it was told and the next.
func (in *incident) wait(update time.Duration) int64 {
	return int64(min(firstUpdate<<(2*min(max(in.Tells-1, 0), 10)), update))
}

// give hands a finding out, with what is known about its incident.
func (e *Engine) give(in *incident, f Finding, links *table[storyKey, chain], keys []storyKey) {
	f.Incident, f.Count = in.ID, in.Count
	f.At, f.First = at(e.now), at(in.First)
	f.Numbers, f.Calls = slices.Clone(in.Numbers), slices.Clone(in.Calls)
	e.ledger.charge(e, in, &f)
	f.Related = e.story.related(in.ID, &f, keys, e.now)
	if !f.Quiet {
		f.Missed, in.Missed = in.Missed, nil
		for _, k := range keys {
			links.get(k, e.now).add(in.ID, e.now)
		}
	}
	e.out = append(e.out, f)
}

// names notes which numbers and calls an incident is about: the latest of each.
func (in *incident) names(f *Finding, c *running) {
	if c != nil {
		n := c.to
		if c.inbound {
			n = c.from
		}
		in.Numbers, in.Calls = latest(in.Numbers, n), latest(in.Calls, c.id)
	}
	for _, n := range f.Numbers {
		in.Numbers = latest(in.Numbers, n)
	}
	for _, id := range f.Calls {
		in.Calls = latest(in.Calls, id)
	}
	for _, m := range f.Missed {
		if slices.Contains(in.Missed, m) {
			continue
		}
		if len(in.Missed) == maxMissed {
			in.Missed = slices.Delete(in.Missed, 0, 1)
		}
		in.Missed = append(in.Missed, m)
	}
	f.Missed = nil
}

// latest puts a value at the end of a short list that names each once.
func latest(list []string, v string) []string {
	if v == "" || slices.Contains(list, v) {
		return list
	}
	if len(list) == maxNamed {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, v)
}

// incidentID follows from what an incident is about and when it began, so that
// a replay gives it again.
func incidentID(f *Finding, at int64) string {
	t := f.topic()
	what := t.Detector + "\x00" + t.Account + "\x00" + t.Subject.Kind + "\x00" + t.Subject.Value
	return strconv.FormatUint(uint64(hash(what)), 36) + "-" + strconv.FormatInt(at/int64(time.Millisecond), 36)
}
