package explain

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Facts are kept as octets, not as values: a ring of them has no pointers that
// the collector must follow, holds no message alive that a text is part of, and
// its size is what it says. One function writes and reads each type, so that
// what is written is what is read; a test fills every field of a request and
// looks for it again.

// Bounds of what is kept of one decision. Beyond them texts are cut and lists
// end; what is explained then says so.
const (
	maxText  = 1024
	maxItems = 32
)

// codec writes to buf, or reads from it.
type codec struct {
	buf  []byte
	at   int
	read bool
	bad  bool // what was read is damaged: the rest is empty
	cut  bool // something did not fit
}

func (c *codec) number(n *int64) {
	if !c.read {
		c.buf = binary.AppendVarint(c.buf, *n)
		return
	}
	v, size := binary.Varint(c.buf[min(c.at, len(c.buf)):])
	if size <= 0 {
		c.bad = true
		return
	}
	*n, c.at = v, c.at+size
}

func integer[T ~int | ~int64 | ~uint8 | ~uint16 | ~uint](c *codec, v *T) {
	n := int64(*v)
	c.number(&n)
	*v = T(n)
}

func (c *codec) flag(b *bool) {
	n := int64(0)
	if *b {
		n = 1
	}
	c.number(&n)
	*b = n != 0
}

func (c *codec) text(s *string) {
	if !c.read {
		t := *s
		if len(t) > maxText {
			t, c.cut = strings.ToValidUTF8(t[:maxText], ""), true
		}
		c.buf = binary.AppendUvarint(c.buf, uint64(len(t)))
		c.buf = append(c.buf, t...)
		return
	}
	if b := c.octets(); !c.bad {
		*s = string(b) // as it came; whoever shows it escapes it
	}
}

// octets reads a length and as many octets.
func (c *codec) octets() []byte {
	n, size := binary.Uvarint(c.buf[min(c.at, len(c.buf)):])
	if size <= 0 || n > uint64(len(c.buf)-c.at-size) {
		c.bad = true
		return nil
	}
	c.at += size + int(n)
	return c.buf[c.at-int(n) : c.at]
}

// length is the number of items of a list, within bounds; -1 is a nil list.
func (c *codec) length(have int) int {
	if !c.read && have > maxItems {
		have, c.cut = maxItems, true
	}
	n := int64(have)
	c.number(&n)
	if c.bad || n > maxItems {
		c.bad = true
		return -1
	}
	return int(n)
}

// items writes or reads a list; nil stays nil.
func items[T any](c *codec, list *[]T, each func(*T)) {
	have := len(*list)
	if *list == nil {
		have = -1
	}
	n := c.length(have)
	if n < 0 {
		*list = nil
		return
	}
	if c.read {
		*list = make([]T, n)
	}
	for i := 0; i < n && !c.bad; i++ {
		each(&(*list)[i])
	}
}

func (c *codec) time(t *time.Time) {
	sec, ns, offset := t.Unix(), int64(t.Nanosecond()), int64(0)
	if !c.read {
		_, o := t.Zone()
		offset = int64(o)
	}
	c.number(&sec)
	c.number(&ns)
	c.number(&offset)
	if !c.read {
		return
	}
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", int(offset))
	}
	*t = time.Unix(sec, ns).In(zone)
}

func (c *codec) addr(a *netip.AddrPort) {
	if !c.read {
		size := len(c.buf)
		c.buf = append(c.buf, 0)
		c.buf, _ = a.AppendBinary(c.buf) // never fails
		c.buf[size] = byte(len(c.buf) - size - 1)
		return
	}
	if b := c.octets(); !c.bad && a.UnmarshalBinary(b) != nil {
		c.bad = true
	}
}

func (c *codec) attempt(a *call.Attempt) {
	c.time(&a.At)
	c.text(&a.Method)
	integer(c, &a.On)
	integer(c, (*int64)(&a.Elapsed))
	integer(c, &a.Side)
	s := &a.Source
	c.addr(&s.Addr)
	c.addr(&s.Local)
	for _, t := range [...]*string{&s.Transport, &s.TLSVersion, &s.TLSCipher, &s.TLSSubject, &s.Country, &a.Peer, &a.Account, &a.User,
		&a.Diversion, &a.ID, &a.SIPCallID, &a.UserAgent, &a.Media.Profile, &a.Policy, &a.RegisterUser, &a.RegisterDomain, &a.AuthUser} {
		c.text(t)
	}
	uri := a.RequestURI
	if !c.read {
		uri = hideURI(uri)
	}
	c.text(&uri)
	if c.read {
		a.RequestURI = uri
	}
	integer(c, &s.ASN)
	c.flag(&s.Registered)
	c.flag(&s.Configured)
	c.flag(&s.Answered)
	integer(c, &a.PeerKind)
	integer(c, &a.Direction)
	c.party(&a.From, true)
	c.party(&a.To, true)
	integer(c, &a.Pass)
	integer(c, &a.Hops)
	integer(c, &a.Size)
	integer(c, &a.Expires)
	c.flag(&a.Media.Offered)
	c.flag(&a.Media.SRTP)
	c.flag(&a.Transferred)
	c.flag(&a.Help)
	c.flag(&a.Forwarded)
	c.flag(&a.Returning)
	c.flag(&a.First)
	items(c, &a.ContentTypes, c.text)
	items(c, &a.Headers, c.header)
}

func (c *codec) header(h *call.Header) {
	c.text(&h.Name)
	value := h.Value
	if !c.read && Secret(h.Name) {
		value = hidden
	}
	c.text(&value)
	if c.read {
		h.Value = value
	}
}

func (c *codec) party(p *call.Party, other bool) {
	user := p.User
	if !c.read {
		user = hideUser(user)
	}
	c.text(&user)
	if c.read {
		p.User = user
	}
	for _, t := range [...]*string{&p.Host, &p.Display, &p.Scheme, &p.Number, &p.Country, &p.Region, &p.Class} {
		c.text(t)
	}
	integer(c, &p.Kind)
	c.flag(&p.Own)
	c.flag(&p.Withheld)
	has := other && p.Other != nil
	c.flag(&has)
	if !has || c.bad || !other {
		return
	}
	if c.read {
		p.Other = new(call.Party)
	}
	c.party(p.Other, false)
}

func (c *codec) decision(d *call.Decision, inner bool) {
	integer(c, &d.Verdict)
	integer(c, &d.Status)
	integer(c, &d.Severity)
	integer(c, (*int64)(&d.RetryAfter))
	c.flag(&d.Shadow)
	c.text(&d.Rule)
	c.text(&d.Reason)
	c.text((*string)(&d.Action))
	c.text(&d.Subject.Kind)
	c.text(&d.Subject.Value)
	items(c, &d.Evidence, c.evidence)
	items(c, &d.Trace, c.text)
	items(c, &d.Counts, c.count)
	items(c, &d.Effects, c.effect)
	warned := d.Warning != nil
	c.flag(&warned)
	if warned {
		if c.read {
			d.Warning = new(call.Warning)
		}
		integer(c, &d.Warning.Code)
		c.text(&d.Warning.Text)
	}
	if !inner {
		items(c, &d.Also, func(x *call.Decision) { c.decision(x, true) })
	}
}

func (c *codec) effect(e *call.Effect) {
	integer(c, &e.Act)
	integer(c, (*int64)(&e.For))
	integer(c, &e.Severity)
	source := ""
	if !c.read && e.Key.Source.IsValid() {
		source = e.Key.Source.String()
	}
	for _, t := range [...]*string{&source, &e.Key.User, &e.Key.Peer, &e.Key.Account, &e.Key.RegisterUser, &e.Key.Domain, &e.Rule, &e.Reason} {
		c.text(t)
	}
	if c.read && source != "" {
		var err error
		if e.Key.Source, err = netip.ParsePrefix(source); err != nil {
			c.bad = true
		}
	}
	items(c, &e.Evidence, c.evidence)
}

func (c *codec) count(n *call.Count) {
	c.text(&n.Limit)
	c.text(&n.Unit)
	c.number(&n.Value)
	c.number(&n.Most)
	c.flag(&n.Over)
	c.flag(&n.Shadow)
}

func (c *codec) evidence(e *call.Evidence) {
	c.text(&e.Name)
	c.value(&e.Value)
	c.value(&e.Threshold)
}

// value keeps what evidence is made of; anything else becomes text.
func (c *codec) value(v *any) {
	const (
		none = iota
		text
		whole
		float
		truth
	)
	kind := int64(none)
	var s string
	var n int64
	if !c.read {
		switch x := (*v).(type) {
		case nil:
		case string:
			kind, s = text, x
		case int:
			kind, n = whole, int64(x)
		case int32:
			kind, n = whole, int64(x)
		case int64:
			kind, n = whole, x
		case uint:
			kind, n = whole, int64(x)
		case uint64:
			kind, n = whole, int64(x)
		case float64:
			kind, n = float, int64(math.Float64bits(x))
		case bool:
			if kind = truth; x {
				n = 1
			}
		default:
			kind, s = text, fmt.Sprint(x)
		}
	}
	c.number(&kind)
	switch kind {
	case text:
		c.text(&s)
		*v = s
	case whole:
		c.number(&n)
		*v = n
	case float:
		c.number(&n)
		*v = math.Float64frombits(uint64(n))
	case truth:
		c.number(&n)
		*v = n != 0
	}
}
